/** What is mapped in a process, and what the files that are have to say of their code. */
import { readFileSync, statSync } from "node:fs";
import { basename } from "node:path";
import { readCallFrames, readFrameSection } from "../../elf/call-frame.ts";
import { PF_X, PT_LOAD } from "../../elf/constants.ts";
import { FunctionNames } from "../../elf/function-names.ts";
import { type ElfFile, readElf } from "../../elf/reader.ts";
import { type MappingLine, mappingsOf } from "../../linux/maps.ts";
import { readText } from "../../linux/proc-file.ts";
import { type FrameRules, FrameTable } from "./frame-table.ts";
import { type CompiledFunction, parsePerfMap, perfMapOf } from "./perf-map.ts";

/** Files beyond are not read: their functions stay addresses. */
const MAX_FILE_SIZE = 512 * 1024 * 1024;
/** How long what is mapped is not asked for again. */
const LOOK_AGAIN_MS = 5;

/** A mapped ELF file. */
export class Module {
	readonly name: string;
	readonly #elf: ElfFile | undefined;
	#names: FunctionNames | undefined;
	#frames: FrameTable | undefined;

	constructor(path: string, bytes: Uint8Array | undefined) {
		this.name = basename(path);
		try {
			this.#elf = bytes === undefined ? undefined : readElf(bytes);
			this.#names = this.#elf && new FunctionNames(this.#elf);
		} catch {
			// Damaged, or not ELF: addresses have to do.
		}
	}

	/** The address in the file's own count of a place in the file. */
	addressOf(offset: bigint): bigint | undefined {
		const load = this.#elf?.programHeaders.find(
			({ type, flags, offset: start, fileSize }) =>
				type === PT_LOAD && (flags & PF_X) !== 0 && offset >= start && offset < start + fileSize,
		);
		return load === undefined ? undefined : load.virtualAddress + (offset - load.offset);
	}

	/** "main+0x1c" */
	functionAt(address: bigint): { readonly name: string; readonly offset: bigint } | undefined {
		try {
			const found = this.#names?.at(address);
			return found && { name: found.name, offset: address - found.start };
		} catch {
			return undefined;
		}
	}

	/** How to find the caller's frame from an address; undefined when the file does not say. */
	frameAt(address: bigint): FrameRules | undefined {
		if (this.#elf === undefined) return undefined;
		const { bits } = this.#elf;
		try {
			this.#frames ??= new FrameTable(
				bits,
				(readCallFrames(this.#elf) ?? readFrameSection(this.#elf))?.descriptions ?? [],
			);
		} catch {
			this.#frames = new FrameTable(bits, []);
		}
		return this.#frames.at(address);
	}
}

const readFile = (path: string): Uint8Array | undefined => {
	try {
		return statSync(path).size <= MAX_FILE_SIZE ? readFileSync(path) : undefined;
	} catch {
		return undefined;
	}
};

/** The modules of a run, each read once. */
export class Modules {
	readonly #byPath = new Map<string, Module>();

	/** @param pid in whose root the path is */
	get(pid: number, path: string): Module {
		let module = this.#byPath.get(path);
		if (module === undefined) {
			module = new Module(path, readFile(`/proc/${pid}/root${path}`) ?? readFile(path));
			this.#byPath.set(path, module);
		}
		return module;
	}
}

/** The mappings of one program of a process, as they were seen last. */
export class AddressSpace {
	readonly #pid: number;
	readonly #isCurrent: () => boolean;
	#nextLook = 0;
	#mappings: readonly MappingLine[] = [];
	#compiled: { readonly size: number; readonly functions: readonly CompiledFunction[] } = { size: 0, functions: [] };

	/** @param isCurrent whether the process still runs that program */
	constructor(pid: number, isCurrent: () => boolean) {
		this.#pid = pid;
		this.#isCurrent = isCurrent;
	}

	/** The mapping that an address is in; looked up anew when it is not among those that are known. */
	at(address: bigint): MappingLine | undefined {
		const find = (): MappingLine | undefined =>
			this.#mappings.find(({ start, end }) => address >= start && address < end);
		const known = find();
		const now = performance.now();
		if (known !== undefined || now < this.#nextLook || !this.#isCurrent()) return known;
		this.#nextLook = now + LOOK_AGAIN_MS;
		const mappings = mappingsOf(this.#pid);
		if (mappings.length > 0) this.#mappings = mappings;
		return find();
	}

	/** What a just-in-time compiler says of an address, as far as is known: its file can be gone before the process. */
	compiledAt(address: bigint): string | undefined {
		const file = perfMapOf(this.#pid);
		const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
		if (size > 0 && size !== this.#compiled.size) this.#compiled = { size, functions: parsePerfMap(readText(file)) };
		// What is compiled anew at a place stands behind what was there.
		return this.#compiled.functions.findLast(({ start, end }) => address >= start && address < end)?.name;
	}
}
