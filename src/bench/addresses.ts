/** Where the functions are in a measuring program: found in its memory, as a C library finds them. */
import { readFileSync } from "node:fs";
import { readSavedAuxv, type SavedAuxv } from "../auxv/saved-auxv.ts";
import { AT_SYSINFO, AT_SYSINFO_EHDR } from "../auxv/types.ts";
import { openElf, readProgramHeaders, storedSize } from "../elf/headers.ts";
import { readElf } from "../elf/reader.ts";
import { lookUp } from "../elf/symbol-lookup.ts";
import { hostVdsoRange } from "../linux/maps.ts";
import type { Session } from "./session.ts";
import type { Target } from "./ways.ts";

const PAGE_SIZE = 4096;
/** Enough for any `__kernel_vsyscall`: three pushes, a move, the instruction and int 0x80 behind it. */
const ENTRY_BYTES = 16;

/** Thrown when a program has no such function: the reason in words. */
export class NotThere extends Error {
	override readonly name: string = "NotThere";
}

export class Addresses {
	readonly #session: Session;
	readonly #auxv: SavedAuxv | undefined;
	readonly #host: bigint | undefined;
	readonly #images = new Map<bigint, Promise<Uint8Array>>();

	constructor(session: Session) {
		this.#session = session;
		const { pid } = session.hello;
		this.#auxv = readSavedAuxv(new Uint8Array(readFileSync(`/proc/${pid}/auxv`)));
		this.#host = hostVdsoRange(pid)?.start;
	}

	/**
	 * The address that a loop is given; 0 when it needs none.
	 *
	 * @throws {NotThere} when the program has no such function.
	 */
	async find(target: Target): Promise<bigint> {
		switch (target.kind) {
			case "none":
				return 0n;
			case "symbol":
				return this.#symbol(target.of, target.name);
			case "entry":
				return this.#entry();
			case "import": {
				const address = this.#session.hello.imports[target.index];
				if (address === undefined) throw new RangeError(`The program has no import ${target.index}`);
				return address;
			}
		}
	}

	async #symbol(of: "host" | "process", name: string): Promise<bigint> {
		const base = of === "host" ? this.#host : this.#auxv?.get(AT_SYSINFO_EHDR);
		if (base === undefined) throw new NotThere("this kernel gives no vDSO");
		let image = this.#images.get(base);
		if (image === undefined) this.#images.set(base, (image = this.#read(base)));
		const symbol = lookUp(readElf(await image), name);
		if (symbol === undefined) throw new NotThere(`the vDSO has no ${name}`);
		return base + symbol.value;
	}

	async #read(base: bigint): Promise<Uint8Array> {
		const page = await this.#session.peek(base, PAGE_SIZE);
		return this.#session.peek(base, storedSize(readProgramHeaders(openElf(page))));
	}

	#entry(): bigint {
		const address = this.#auxv?.get(AT_SYSINFO);
		if (address === undefined) throw new NotThere("this kernel gives no __kernel_vsyscall");
		return address;
	}

	/** The instruction by which `__kernel_vsyscall` enters the kernel. */
	async entryInstruction(): Promise<string> {
		const code = Buffer.from(await this.#session.peek(this.#entry(), ENTRY_BYTES));
		if (code.includes(Buffer.from([0x0f, 0x34]))) return "sysenter";
		return code.includes(Buffer.from([0x0f, 0x05])) ? "syscall" : "int 0x80";
	}
}
