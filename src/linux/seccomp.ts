/**
 * The seccomp filter that stops the calls which the supervisor answers: a classic BPF program over struct seccomp_data.
 *
 *     offset  0  nr                    u32
 *             4  arch                  u32
 *             8  instruction_pointer   u64
 *            16  args[6]               u64 each
 *
 * The architecture is tested first, since the numbers of i386 and x32 mean other calls. Whatever is not one of the few numbers
 * below is allowed by architecture and number alone: the kernel finds such numbers when the filter is installed and never runs it for
 * them (the action cache of Linux 5.11, seccomp_cache_prepare in kernel/seccomp.c), so they cost next to nothing.
 *
 * Words are little-endian: the low half of a u64 comes first.
 */
import { setU16, setU32 } from "../bytes.ts";
import { VSYSCALL_SIZE, VSYSCALL_START, VSYSCALLS } from "../vsyscall/page.ts";
import { SIGSEGV, SYS_rt_sigaction } from "./constants.ts";

/**
 * What PTRACE_GETEVENTMSG says at a stop: why the filter has stopped the task. Other words come from a filter of the program's own:
 * these two are such that no program will have them by chance.
 */
export const PAGE_CALL = 0x7673;
export const SEGV_ACTION = 0x7674;

export interface FilterOptions {
	/** Stops calls of the vsyscall page, told by the instruction pointer: on hosts that serve it. */
	readonly tracesPageCalls: boolean;
	/** Stops rt_sigaction(SIGSEGV, action, ...). */
	readonly tracesSegvActions: boolean;
}

const AUDIT_ARCH_X86_64 = 0xc000_003e;
const SECCOMP_RET_ALLOW = 0x7fff_0000;
const SECCOMP_RET_TRACE = 0x7ff0_0000;

const DATA = { nr: 0, arch: 4, pointerLow: 8, pointerHigh: 12, signal: 16, actionLow: 24, actionHigh: 28 } as const;

const BPF_LD_W_ABS = 0x20;
const BPF_ALU_AND_K = 0x54;
const BPF_JMP_JEQ_K = 0x15;
const BPF_RET_K = 0x06;
const INSTRUCTION_SIZE = 8;

type Target = "next" | "allow" | "page call" | "segv action" | "trace page call" | "trace segv action";

type Line =
	| { readonly code: number; readonly k: number }
	| { readonly code: number; readonly k: number; readonly yes: Target; readonly no: Target }
	| { readonly label: Target };

const load = (offset: number): Line => ({ code: BPF_LD_W_ABS, k: offset });
const mask = (k: number): Line => ({ code: BPF_ALU_AND_K, k });
const equals = (k: number, yes: Target, no: Target): Line => ({ code: BPF_JMP_JEQ_K, k, yes, no });
const answer = (k: number): Line => ({ code: BPF_RET_K, k });

const LOW_HALF = 0xffff_ffffn;
/** The bits of an address that tell one entry from another: addr_to_vsyscall_nr, vsyscall_64.c. */
const ENTRY_BITS = 3 * VSYSCALL_SIZE;

const lines = ({ tracesPageCalls, tracesSegvActions }: FilterOptions): readonly Line[] => [
	load(DATA.arch),
	equals(AUDIT_ARCH_X86_64, "next", "allow"),
	load(DATA.nr),
	...(tracesPageCalls ? VSYSCALLS.map(({ syscall }) => equals(syscall, "page call", "next")) : []),
	...(tracesSegvActions ? [equals(SYS_rt_sigaction, "segv action", "next")] : []),
	{ label: "allow" },
	answer(SECCOMP_RET_ALLOW),
	...(tracesPageCalls
		? [
				{ label: "page call" } as const,
				load(DATA.pointerHigh),
				equals(Number(VSYSCALL_START >> 32n), "next", "allow"),
				load(DATA.pointerLow),
				mask(~ENTRY_BITS),
				equals(Number(VSYSCALL_START & LOW_HALF), "trace page call", "allow"),
				{ label: "trace page call" } as const,
				answer(SECCOMP_RET_TRACE | PAGE_CALL),
			]
		: []),
	...(tracesSegvActions
		? [
				{ label: "segv action" } as const,
				// A signal is an int: the upper half of the register does not count.
				load(DATA.signal),
				equals(SIGSEGV, "next", "allow"),
				load(DATA.actionLow),
				equals(0, "next", "trace segv action"),
				load(DATA.actionHigh),
				equals(0, "allow", "trace segv action"),
				{ label: "trace segv action" } as const,
				answer(SECCOMP_RET_TRACE | SEGV_ACTION),
			]
		: []),
];

/** BPF jumps forwards only, so a second "allow" stands at the end for those behind the first. */
export const buildFilter = (options: FilterOptions): Uint8Array => {
	const program = [...lines(options), { label: "allow" } as const, answer(SECCOMP_RET_ALLOW)];
	const places: { readonly label: Target; readonly index: number }[] = [];
	const instructions: Exclude<Line, { label: Target }>[] = [];
	for (const line of program) {
		if ("label" in line) places.push({ label: line.label, index: instructions.length });
		else instructions.push(line);
	}
	const bytes = new Uint8Array(instructions.length * INSTRUCTION_SIZE);
	instructions.forEach((instruction, index) => {
		const distance = (target: Target): number => {
			if (target === "next") return 0;
			const place = places.find(({ label, index: at }) => label === target && at > index);
			return (place?.index ?? instructions.length) - index - 1;
		};
		const offset = index * INSTRUCTION_SIZE;
		setU16(bytes, offset, instruction.code);
		if ("yes" in instruction) {
			bytes[offset + 2] = distance(instruction.yes);
			bytes[offset + 3] = distance(instruction.no);
		}
		setU32(bytes, offset + 4, instruction.k >>> 0);
	});
	return bytes;
};
