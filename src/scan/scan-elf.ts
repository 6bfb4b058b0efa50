/**
 * What one ELF file has to do with the vsyscall page.
 *
 *     const scan = scanElf(sourceOf(bytes));
 *     for (const { kind, entry, symbol } of scan.findings) console.log(kind, entry, symbol);
 *
 * The file is searched for the bytes of the entries' addresses, at the speed of memory and through one window; only what is found is
 * decoded. In code that is an operand of an instruction, or nothing; in data it is an aligned word.
 */
import { ByteReader } from "../bytes.ts";
import * as elf from "../elf/constants.ts";
import { CodeScan, entryAt } from "./code.ts";
import { type Finding, isNeed } from "./finding.ts";
import { BANNER, isStatic, oldDynamicGlibc, oldStaticGlibc } from "./glibc.ts";
import { openProgram, type Part, type Program } from "./program.ts";
import { ENTRIES_LOW, findConstants, findRelative, isWholeAddress } from "./search.ts";
import { type ByteSource, bytesAt } from "./source.ts";
import { SymbolIndex } from "./symbols.ts";

export interface ElfScan {
	readonly findings: readonly Finding[];
	/** 32-bit programs, other processors and memory images have no such page: nothing was searched. */
	readonly isApplicable: boolean;
	/** Places that could be operands or pointers and were not looked at, because the file has more of them than any program. */
	readonly passedOver: number;
}

const WINDOW = 1 << 18;
/** A banner, a pointer or an operand that begins in one window and ends in the next. */
const OVERLAP = 16;
/** Of places in one file that are decoded: a file full of the pattern would take hours. */
const MOST_PLACES = 4096;
/** Of words in data that code is searched for. */
const MOST_POINTERS = 32;

interface Place {
	readonly part: Part;
	readonly offset: number;
}

/** Variables of the Go runtime that hold the page until the vDSO is found: runtime/vdso_linux_amd64.go, Go 1.2 to 1.15. */
const GO_VARIABLE = /^runtime\.(?:__vdso_\w+_sym|vdso\w+Sym)$/;

let shared: Uint8Array | undefined;

/** One scan of one file. */
class Scan {
	readonly #program: Program;
	readonly #window: Uint8Array;
	/** Aligned words in data with the address of an entry. */
	readonly #pointers: Place[] = [];
	/** Four bytes in code that may be an operand. */
	readonly #operands: Place[] = [];
	#banner: number | undefined;
	#passedOver = 0;

	constructor(program: Program, window: Uint8Array) {
		this.#program = program;
		this.#window = window;
	}

	run(): ElfScan {
		for (const part of this.#program.parts) this.#search(part);
		const version = this.#version();
		const findings = [...this.#findings(), ...(version === undefined ? [] : [versionFinding(version)])];
		return { findings, isApplicable: true, passedOver: this.#passedOver };
	}

	/** Windows of a part, the last bytes of each being the first of the next. */
	*#windows(part: Part): Generator<{ bytes: Uint8Array; offset: number; isLast: boolean }, void> {
		const end = part.offset + part.length;
		for (let offset = part.offset; offset < end; offset += WINDOW - OVERLAP) {
			const wanted = this.#window.subarray(0, Math.min(WINDOW, end - offset));
			const bytes = wanted.subarray(0, this.#program.source.read(wanted, offset));
			const isLast = offset + bytes.length >= end || bytes.length < wanted.length;
			yield { bytes, offset, isLast };
			if (isLast) return;
		}
	}

	#search(part: Part): void {
		const isFixed = this.#program.type === elf.ET_EXEC;
		const wantsBanner = !part.isCode && isStatic(this.#program);
		for (const { bytes, offset, isLast } of this.#windows(part)) {
			// What begins in the overlap is found in the next window.
			const limit = isLast ? bytes.length : bytes.length - OVERLAP;
			for (const at of findConstants(bytes)) {
				if (at >= limit) continue;
				if (part.isCode) this.#add(this.#operands, { part, offset: offset + at });
				if (this.#isPointer(part, bytes, offset, at)) this.#add(this.#pointers, { part, offset: offset + at });
			}
			if (part.isCode && isFixed) this.#searchRelative({ part, bytes, offset, limit }, ENTRIES_LOW);
			if (wantsBanner && this.#banner === undefined) {
				const banner = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).indexOf(BANNER);
				if (banner >= 0) this.#banner = offset + banner;
			}
		}
	}

	/** In an executable segment of a file without sections data may stand, too. */
	#isPointer(part: Part, bytes: Uint8Array, offset: number, at: number): boolean {
		const address = part.address + BigInt(offset + at - part.offset);
		if (address % 8n !== 0n || !isWholeAddress(bytes, at)) return false;
		return !part.isCode || this.#program.sections.length === 0;
	}

	#searchRelative({ part, bytes, offset, limit }: SearchedWindow, targets: readonly number[]): void {
		const address = Number(BigInt.asUintN(32, part.address + BigInt(offset - part.offset)));
		for (const at of findRelative(bytes, address, targets)) {
			if (at < limit) this.#add(this.#operands, { part, offset: offset + at });
		}
	}

	#add(places: Place[], place: Place): void {
		if (places.length < MOST_PLACES) places.push(place);
		else this.#passedOver += 1;
	}

	#findings(): readonly Finding[] {
		if (this.#operands.length === 0 && this.#pointers.length === 0) return [];
		const symbols = new SymbolIndex(this.#program);
		const code = new CodeScan(this.#program, symbols);
		this.#searchUses();
		const findings = this.#operands.flatMap(({ part, offset }) => code.findAt(part, offset) ?? []);
		const called = new Set(findings.map(({ pointer }) => pointer));
		const inCode = new Set(findings.flatMap((finding) => finding.code.map(({ address }) => address)));
		const pointers = this.#pointers
			.map((place) => this.#pointerFinding(place, symbols))
			.filter(({ kind, address }) => kind === "go" || !(called.has(address) || isCovered(address, inCode)));
		return [...findings, ...pointers].toSorted((one, other) => (one.offset ?? 0) - (other.offset ?? 0));
	}

	/** Adds the places in code from which the pointers are read. */
	#searchUses(): void {
		const pointers = this.#pointers.slice(0, MOST_POINTERS);
		const addresses = pointers.map(({ part, offset }) => part.address + BigInt(offset - part.offset));
		if (addresses.length === 0 || this.#program.type === elf.ET_REL) return;
		const targets = addresses.map((address) => Number(BigInt.asUintN(32, address)));
		const isFixed = this.#program.type === elf.ET_EXEC;
		for (const part of this.#program.parts.filter(({ isCode }) => isCode)) {
			for (const { bytes, offset, isLast } of this.#windows(part)) {
				const limit = isLast ? bytes.length : bytes.length - OVERLAP;
				this.#searchRelative({ part, bytes, offset, limit }, targets);
				if (isFixed) this.#searchAbsolute({ part, bytes, offset, limit }, targets);
			}
		}
	}

	#searchAbsolute({ part, bytes, offset, limit }: SearchedWindow, targets: readonly number[]): void {
		const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
		for (const target of targets) {
			const pattern = new Uint8Array(Uint32Array.of(target).buffer);
			for (let at = buffer.indexOf(pattern); at >= 0 && at < limit; at = buffer.indexOf(pattern, at + 1)) {
				this.#add(this.#operands, { part, offset: offset + at });
			}
		}
	}

	#pointerFinding({ part, offset }: Place, symbols: SymbolIndex): Finding {
		const address = part.address + BigInt(offset - part.offset);
		const symbol = symbols.nameOf(address);
		const isGo = symbol !== undefined && GO_VARIABLE.test(symbol);
		return {
			kind: isGo ? "go" : "pointer",
			entry: entryAt(new ByteReader(bytesAt(this.#program.source, offset, 8)).u64(0)),
			address,
			offset,
			section: part.name,
			symbol,
			code: [],
			pointer: address,
			patch: undefined,
			detail: isGo ? "called by the Go runtime where the host has no vDSO" : undefined,
		};
	}

	#version(): string | undefined {
		if (this.#banner !== undefined) return oldStaticGlibc(this.#program, this.#banner);
		return oldDynamicGlibc(this.#program);
	}
}

interface SearchedWindow {
	readonly part: Part;
	readonly bytes: Uint8Array;
	/** Of the window, in the file. */
	readonly offset: number;
	/** Where what begins belongs to the next window. */
	readonly limit: number;
}

/** Whether an aligned word is part of an instruction that was found: eight bytes of an operand. */
const isCovered = (address: bigint | undefined, inCode: ReadonlySet<bigint>): boolean =>
	address !== undefined && Array.from({ length: 11 }, (_, back) => address - BigInt(back)).some((at) => inCode.has(at));

const versionFinding = (detail: string): Finding => ({
	kind: "glibc",
	entry: undefined,
	address: undefined,
	offset: undefined,
	section: undefined,
	symbol: undefined,
	code: [],
	pointer: undefined,
	patch: undefined,
	detail,
});

/**
 * Scans one ELF file.
 *
 * @throws {ElfError} ERR_VSYSCALL_ELF when it is no ELF file, or a damaged one.
 */
export const scanElf = (source: ByteSource): ElfScan => {
	const program = openProgram(source);
	if (program.parts.length === 0)
		return { findings: [], isApplicable: program.machine === elf.EM_X86_64, passedOver: 0 };
	shared ??= new Uint8Array(WINDOW);
	return new Scan(program, shared).run();
};

/** Whether anything was found for which a program may need the page. */
export const isFound = ({ findings }: ElfScan): boolean => findings.some(isNeed);
