/** From places in code that could be operands to findings: decoded, followed to a call, and asked whether the call can be patched. */
import { disassemble } from "../asm/disassembler.ts";
import { setU32 } from "../bytes.ts";
import { type Caller, findPatch } from "../vsyscall/call-site.ts";
import { VSYSCALL_START, VSYSCALLS, vsyscallAt } from "../vsyscall/page.ts";
import { CodeWindow } from "./code-window.ts";
import type { CodeLine, EntryName, Finding, PatchedOperand } from "./finding.ts";
import { Flow, type Use } from "./flow.ts";
import { type Part, type Program, readAt } from "./program.ts";
import { bytesAt } from "./source.ts";
import type { SymbolIndex } from "./symbols.ts";

/** How far the code behind an operand is followed. */
const AHEAD = 1024;
/** How far in front of an operand its function may begin to be decoded from there. */
const MOST_BACK = 1 << 16;
/** Without a known start. */
const BACK = 128;
/** Lines of code in a finding. */
const MOST_LINES = 8;
/** The page of a process whose call sites are patched: any of the form 0xXX600000 below 2 GiB. */
const PATCHED_START = 0x3b60_0000n;
/** For a caller that is made up: nothing in front of it can be mistaken for one of its instructions. */
const NOP = 0x90;
const CALL_REL32 = 0xe8;
const CALL_SIZE = 5;
const CALLER_SIZE = 128;

/** How the disassembler writes the entries as immediates. */
const NEGATIVE_ENTRY = /-0x(?:a00000|9ffc00|9ff800)\b/;

/** What a run would change, by its own rule. */
const patchOf = (caller: Caller): PatchedOperand => {
	const site = findPatch(caller, PATCHED_START + (caller.entry - VSYSCALL_START));
	return site.kind === "patch" ? site.patch.operand : "none";
};

const unsigned = (negative: string): string => `0x${BigInt.asUintN(64, -BigInt(negative.slice(1))).toString(16)}`;

/** The name of the entry at an address. */
export const entryAt = (address: bigint): EntryName | undefined => {
	const number = vsyscallAt(address);
	return number === undefined ? undefined : VSYSCALLS[number].name;
};

export class CodeScan {
	readonly #program: Program;
	readonly #symbols: SymbolIndex;
	/** Calls that have been found, by address: several operands can lead to one. */
	readonly #calls = new Set<bigint>();

	constructor(program: Program, symbols: SymbolIndex) {
		this.#program = program;
		this.#symbols = symbols;
	}

	/**
	 * What the four bytes at `offset` of the file are to the page; undefined where they are no operand that has its address.
	 *
	 * @param part that has them
	 */
	findAt(part: Part, offset: number): Finding | undefined {
		const address = part.address + BigInt(offset - part.offset);
		const known = this.#symbols.functionStart(address);
		const inFront = known === undefined || known < part.address ? undefined : Number(address - known);
		const isNear = inFront !== undefined && inFront <= MOST_BACK;
		const start = Math.max(part.offset, offset - (isNear ? inFront : BACK));
		const end = Math.min(part.offset + part.length, offset + AHEAD);
		const bytes = bytesAt(this.#program.source, start, end - start);
		const window = new CodeWindow(bytes, address - BigInt(offset - start));
		try {
			const instruction = window.instructionWith(offset - start, isNear ? 0 : undefined);
			if (instruction === undefined) return undefined;
			const use = new Flow(window, (from, length) => readAt(this.#program, from, length)).follow(instruction);
			return use === undefined ? undefined : this.#finding({ window, instruction, use, part });
		} finally {
			window[Symbol.dispose]();
		}
	}

	#finding({ window, instruction, use, part }: Found): Finding | undefined {
		const at = use.kind === "called" ? (use.path.at(-1) ?? instruction) : instruction;
		const address = window.address + BigInt(at);
		const common = {
			address,
			offset: part.offset + Number(address - part.address),
			section: part.name,
			symbol: this.#symbols.nameOf(address),
			code: this.#lines(window, use.kind === "called" ? use.path : [instruction]),
			detail: undefined,
		};
		if (use.kind === "called") {
			if (this.#calls.has(address)) return undefined;
			this.#calls.add(address);
			const { target, pointer } = use;
			const patch = this.#patch(window, use.path, target);
			return { ...common, kind: "call", entry: entryAt(target), pointer, patch };
		}
		const kind = use.kind === "read" ? "read" : use.kind === "escapes" ? "address" : "mention";
		return { ...common, kind, entry: this.#entryIn(window, instruction), pointer: undefined, patch: undefined };
	}

	/** The entry whose address an instruction has as an operand. */
	#entryIn({ decoding, bytes }: CodeWindow, instruction: number): EntryName | undefined {
		decoding.lengthAt(instruction);
		for (const constant of decoding.constants()) {
			const [low = 0, second = 0, third] = bytes.subarray(instruction + constant, instruction + constant + 3);
			if (third === 0x60) return entryAt(VSYSCALL_START + BigInt(low | (second << 8)));
		}
		return undefined;
	}

	#lines({ bytes, address, decoding }: CodeWindow, path: readonly number[]): readonly CodeLine[] {
		const half = MOST_LINES / 2;
		const shown = path.length <= MOST_LINES ? path : [...path.slice(0, half), ...path.slice(-half)];
		return shown.flatMap((offset) => {
			const part = bytes.subarray(offset, offset + decoding.lengthAt(offset));
			const from = address + BigInt(offset);
			return disassemble(part, 64, from, (target) => this.#symbols.nameAt(target)).map((line) => ({
				address: from,
				bytes: part.slice(),
				text: line.text.replace(NEGATIVE_ENTRY, unsigned),
			}));
		});
	}

	/** Which operand of a call a run would change. */
	#patch(window: CodeWindow, path: readonly number[], entry: bigint): PatchedOperand | undefined {
		// Where an object file will stand decides how its calls are linked.
		if (this.#program.sections.length > 0 && this.#program.programHeaders.length === 0) return undefined;
		const [first = 0, at = first] = [path[0], path.at(-1)];
		const length = window.decoding.lengthAt(at);
		const isCall = window.decoding.stepAt(at).flow === "call";
		if (isCall) return patchOf(this.#caller(entry, window.address + BigInt(at + length)));
		// Where no symbol says where the function begins, it does nothing but jump on from the operand.
		const begin = window.address + BigInt(first);
		const callees = [this.#symbols.functionStart(begin) ?? begin, begin];
		const patches = callees.map((callee) => patchOf(this.#callerOf(entry, callee)));
		return patches.find((patch) => patch !== "none") ?? "none";
	}

	#caller(entry: bigint, returnAddress: bigint): Caller {
		return {
			entry,
			returnAddress,
			register: () => undefined,
			read: (address, length) => readAt(this.#program, address, length),
		};
	}

	/** Somebody who calls a function that jumps on to the page: the return address that a run sees is theirs. */
	#callerOf(entry: bigint, callee: bigint): Caller {
		const start = callee + (1n << 20n);
		const code = new Uint8Array(CALLER_SIZE).fill(NOP);
		const call = CALLER_SIZE - CALL_SIZE;
		code[call] = CALL_REL32;
		setU32(code, call + 1, Number(callee - start) - CALLER_SIZE);
		const { read, ...caller } = this.#caller(entry, start + BigInt(CALLER_SIZE));
		return {
			...caller,
			read: (address, length) => {
				const inside = Number(address - start);
				if (inside < 0 || inside >= CALLER_SIZE) return read(address, length);
				return code.subarray(inside, inside + length);
			},
		};
	}
}

interface Found {
	readonly window: CodeWindow;
	/** Offset in the window. */
	readonly instruction: number;
	readonly use: Use;
	readonly part: Part;
}
