/**
 * Call sites of the page: from a call that has trapped to the operand that has to be changed so that it never traps again.
 *
 * Only operands are changed, never instructions, and only those by which this very call was made: the search goes backwards from
 * the return address and accepts nothing that does not hold exactly the entry's address.
 *
 *     48 c7 c0 imm32; ff d0              mov $entry, %rax; call *%rax      one byte of imm32: ff -> XX
 *     mov $entry, %reg ... call *%reg    the same, further away            the same byte
 *     48 b8 imm64; ff d0                 movabs                            eight bytes
 *     ff 15 rel32, ff 14 25 abs32,       call through a pointer            the pointer
 *     ff /2 disp(%base,%index,scale)
 *     48 8b 05 rel32; ff d0, ...         pointer loaded, then called       the pointer
 *     e8 rel32 -> ff 25 rel32            call of a PLT stub                its GOT word
 *     e8 rel32 -> mov $entry; jmp *%rax  call of a function that jumps on  its operand, as above
 *     e8 rel32 -> the page               from a text below 2 GiB           rel32
 *
 * The shapes that programs are full of are recognised by their bytes; for the others a disassembler is loaded (call-site-decode.ts)
 * and registers are followed (call-site-trace.ts).
 *
 * A changed immediate or pointer that is used for something else as well would show: it names another address of the same function.
 */
import { ByteReader, setU32, setU64 } from "../bytes.ts";
import { readBackwards, readToJump, type Step } from "./call-site-decode.ts";
import { Trace } from "./call-site-trace.ts";

export type GeneralRegister =
	| "rax"
	| "rcx"
	| "rdx"
	| "rbx"
	| "rsp"
	| "rbp"
	| "rsi"
	| "rdi"
	| "r8"
	| "r9"
	| "r10"
	| "r11"
	| "r12"
	| "r13"
	| "r14"
	| "r15";

/** What is known of a call when it has trapped. */
export interface Caller {
	/** The entry that was called. */
	readonly entry: bigint;
	/** The word at rsp. */
	readonly returnAddress: bigint;
	/** A register as the entry found it; undefined where the host has lost it (rax at a seccomp stop). */
	readonly register: (name: GeneralRegister) => bigint | undefined;
	/** Up to `length` bytes of the program's memory; fewer where nothing is mapped. */
	readonly read: (address: bigint, length: number) => Uint8Array;
}

export interface Patch {
	readonly operand: "immediate" | "pointer" | "immediate64" | "displacement";
	readonly address: bigint;
	/** What stands there. */
	readonly before: Uint8Array;
	/** What has to be written, of the same length. */
	readonly after: Uint8Array;
	/** Other threads may use the operand while it is written: it is one byte, or an aligned pointer. */
	readonly isAtomic: boolean;
}

export type CallSite =
	| { readonly kind: "patch"; readonly patch: Patch }
	/** Another thread's call has been here before. */
	| { readonly kind: "patched" }
	| { readonly kind: "unknown" };

const UNKNOWN: CallSite = { kind: "unknown" };
const PATCHED: CallSite = { kind: "patched" };
/** Enough for a move that a compiler has hoisted in front of a few arguments. */
const WINDOW = 64;
const PAGE_SIZE = 4096n;
const CALL_REL32_SIZE = 5;
/** Of a function that jumps on, to be read for its jump. */
const FUNCTION_SIZE = 64;
/** A PLT stub, the function it leads to, and one more. */
const MOST_JUMPS = 4;
const ENDBR64 = [0xf3, 0x0f, 0x1e, 0xfa];
const BND = 0xf2;
/** Prefixes: fs, gs, and the size of addresses. */
const CHANGES_ADDRESS: readonly number[] = [0x64, 0x65, 0x67];

const isAt = (bytes: Uint8Array, offset: number, ...wanted: readonly number[]): boolean =>
	offset >= 0 && wanted.every((byte, index) => bytes[offset + index] === byte);

const u64 = (bytes: Uint8Array): bigint => new ByteReader(bytes).u64(0);
const i32 = (bytes: Uint8Array, offset: number): bigint => BigInt(new ByteReader(bytes).i32(offset));

const bytes32 = (value: bigint): Uint8Array => {
	const bytes = new Uint8Array(4);
	setU32(bytes, 0, Number(BigInt.asUintN(32, value)));
	return bytes;
};

const bytes64 = (value: bigint): Uint8Array => {
	const bytes = new Uint8Array(8);
	setU64(bytes, 0, value);
	return bytes;
};

const isInt32 = (value: bigint): boolean => BigInt.asIntN(32, value) === value;

/**
 * Whether the seven bytes of a move may be the end of a longer instruction: movabs, or one with a 32-bit displacement and a 32-bit
 * immediate. Then the bytes in front decide.
 */
const mayBeInside = (bytes: Uint8Array, move: number): boolean => {
	const [third = 0, second = 0, first = 0] = bytes.subarray(Math.max(0, move - 4), Math.max(0, move - 1));
	const isWide = (second & 0xf8) === 0x48 && ((first & 0xf8) === 0xb8 || (first & 0xfc) === 0xa0);
	// imul, 81 /n, c7 /0 and f7 /0 with ModRM, perhaps SIB, and the first byte of the displacement behind them.
	return isWide || [0x69, 0x81, 0xc7, 0xf7].some((opcode) => opcode === second || opcode === third);
};

/** The bytes in front of the return address; those in its page where the page before is not mapped. */
const windowOf = ({ returnAddress, read }: Caller): Uint8Array => {
	const inPage = Number(BigInt.asUintN(64, returnAddress - 1n) % PAGE_SIZE) + 1;
	for (const length of [WINDOW, Math.min(WINDOW, inPage)]) {
		const window = read(BigInt.asUintN(64, returnAddress - BigInt(length)), length);
		if (window.length === length) return window;
	}
	return new Uint8Array(0);
};

/** One search: the call, the bytes in front of the return address, and where to lead the call. */
class Search {
	readonly #caller: Caller;
	readonly #target: bigint;
	/** The last byte is that in front of the return address. */
	readonly #window: Uint8Array;

	constructor(caller: Caller, target: bigint) {
		this.#caller = caller;
		this.#target = target;
		this.#window = windowOf(caller);
	}

	find(): CallSite {
		const site = this.#byBytes();
		if (site.kind !== "unknown") return site;
		const steps = readBackwards(this.#window, this.#addressAt(0));
		return steps === undefined ? UNKNOWN : this.#byTrace(steps, MOST_JUMPS);
	}

	#byBytes(): CallSite {
		const window = this.#window;
		const end = window.length;
		const last = window[end - 1] ?? 0;
		if (isAt(window, end - 2, 0xff) && (last & 0xf8) === 0xd0) {
			// 41 is a prefix, or the top byte of an immediate that has been changed to 0x41......: both readings are tried.
			const site = isAt(window, end - 3, 0x41) ? this.#throughRegister((last & 7) + 8, end - 3) : UNKNOWN;
			return site.kind === "unknown" ? this.#throughRegister(last & 7, end - 2) : site;
		}
		if (isAt(window, end - 6, 0xff, 0x15) && !CHANGES_ADDRESS.includes(window[end - 7] ?? 0))
			return this.#pointer(this.#addressAt(end) + i32(window, end - 4));
		if (!isAt(window, end - CALL_REL32_SIZE, 0xe8)) return UNKNOWN;
		return this.#throughBranch(end - CALL_REL32_SIZE);
	}

	/** call *%reg at `call` in the window, directly behind the move. */
	#throughRegister(number: number, call: number): CallSite {
		const window = this.#window;
		const [rex, low] = [number >> 3, number & 7];
		if (isAt(window, call - 7, 0x48 | rex, 0xc7, 0xc0 | low) && !mayBeInside(window, call - 7)) {
			return this.#immediate(this.#addressAt(call - 4));
		}
		if (isAt(window, call - 10, 0x48 | rex, 0xb8 | low)) return this.#wide(this.#addressAt(call - 8), "immediate64");
		if (isAt(window, call - 7, 0x48 | (rex << 2), 0x8b, 0x05 | (low << 3))) {
			return this.#pointer(this.#addressAt(call) + i32(window, call - 4));
		}
		return UNKNOWN;
	}

	/** call rel32 at `call` in the window. */
	#throughBranch(call: number): CallSite {
		const { entry, returnAddress } = this.#caller;
		const callee = BigInt.asUintN(64, returnAddress + i32(this.#window, call + 1));
		if (callee === this.#target) return PATCHED;
		if (callee !== entry) return this.#code(callee, MOST_JUMPS);
		const distance = this.#target - returnAddress;
		if (!isInt32(distance)) return UNKNOWN;
		const before = this.#window.slice(call + 1, call + CALL_REL32_SIZE);
		const [operand, address] = ["displacement", this.#addressAt(call + 1)] as const;
		return { kind: "patch", patch: { operand, address, before, after: bytes32(distance), isAtomic: false } };
	}

	#byTrace(steps: readonly Step[], jumps: number): CallSite {
		const location = new Trace(this.#caller, steps).find();
		if (location === undefined) return UNKNOWN;
		const { kind, address } = location;
		if (kind === "code") return this.#code(address, jumps);
		const site = kind === "immediate" ? this.#immediate(address) : this.#wide(address, kind);
		if (site.kind !== "unknown") return site;
		// It may hold the address of a function that jumps on.
		const size = kind === "immediate" ? 4 : 8;
		const bytes = this.#caller.read(address, size);
		if (bytes.length < size) return UNKNOWN;
		return this.#code(size === 4 ? BigInt.asUintN(64, i32(bytes, 0)) : u64(bytes), jumps);
	}

	/** Code that does nothing but jump on to the page: a stub of the PLT, a function that ends in a tail call. */
	#code(start: bigint, jumps: number): CallSite {
		if (start === this.#caller.entry || jumps === 0) return UNKNOWN;
		const code = this.#caller.read(start, FUNCTION_SIZE);
		const offset = isAt(code, 0, ...ENDBR64) ? ENDBR64.length : 0;
		if (isAt(code, offset, 0x48, 0xc7, 0xc0) && isAt(code, offset + 7, 0xff, 0xe0)) {
			return this.#immediate(start + BigInt(offset + 3));
		}
		const jump = isAt(code, offset, BND) ? offset + 1 : offset;
		if (isAt(code, jump, 0xff, 0x25) && code.length >= jump + 6) {
			const site = this.#pointer(start + BigInt(jump + 6) + i32(code, jump + 2));
			if (site.kind !== "unknown") return site;
		}
		const steps = readToJump(code, start);
		return steps === undefined ? UNKNOWN : this.#byTrace(steps, jumps - 1);
	}

	/** mov $imm32, sign-extended: the byte at the top makes the address one below 2 GiB. */
	#immediate(address: bigint): CallSite {
		const { entry, read } = this.#caller;
		const target = this.#target;
		const before = read(address, 4);
		if (before.length < 4) return UNKNOWN;
		const value = BigInt.asUintN(64, i32(before, 0));
		if (value === target) return PATCHED;
		if (value !== entry || !isInt32(target)) return UNKNOWN;
		const after = bytes32(target);
		const isAtomic = after.subarray(0, 3).every((byte, index) => byte === before[index]);
		const first = isAtomic ? 3 : 0;
		return {
			kind: "patch",
			patch: {
				operand: "immediate",
				address: address + BigInt(first),
				before: before.slice(first),
				after: after.slice(first),
				isAtomic,
			},
		};
	}

	#pointer(address: bigint): CallSite {
		return this.#wide(BigInt.asUintN(64, address), "pointer");
	}

	#wide(address: bigint, operand: "pointer" | "immediate64"): CallSite {
		const before = this.#caller.read(address, 8);
		if (before.length < 8) return UNKNOWN;
		if (u64(before) === this.#target) return PATCHED;
		if (u64(before) !== this.#caller.entry) return UNKNOWN;
		const isAtomic = operand === "pointer" && address % 8n === 0n;
		return { kind: "patch", patch: { operand, address, before, after: bytes64(this.#target), isAtomic } };
	}

	#addressAt(offset: number): bigint {
		return BigInt.asUintN(64, this.#caller.returnAddress - BigInt(this.#window.length - offset));
	}
}

/**
 * Finds the operand by which a call was made.
 *
 * @param target the same entry in the entry page of the process
 */
export const findPatch = (caller: Caller, target: bigint): CallSite => new Search(caller, target).find();
