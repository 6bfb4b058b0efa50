/**
 * How __kernel_vsyscall of the i386 image enters the kernel.
 *
 * - syscall: AMD's instruction; Intel's processors refuse it in 32-bit code.
 * - sysenter: Intel's instruction; AMD's processors refuse it while the kernel is a 64-bit one.
 * - int80: the software interrupt, which every processor and kernel takes, and which costs several times as much. On processors with FRED
 *   it is the fast one.
 * - host: a jump to the host's own __kernel_vsyscall.
 * - auto: the one that the host's kernel has chosen for this processor. It has asked CPUID and written the answer into its own
 *   __kernel_vsyscall, where it can be read.
 *
 * The kernel returns from both fast instructions to one place, whatever their own: behind the `int 0x80` of its own __kernel_vsyscall. So
 * without the host's image there is int80 alone.
 */
import { VsyscallError } from "../errors.ts";

export const FAST_ENTRIES = ["auto", "syscall", "sysenter", "int80", "host"] as const;
export type FastEntry = (typeof FAST_ENTRIES)[number];

/** What stands in an image. */
export type EntryForm = Exclude<FastEntry, "auto">;

/** @throws {VsyscallError} ERR_VSYSCALL_FAST_ENTRY when the name is unknown. */
export const parseFastEntry = (name: string): FastEntry => {
	const entry = FAST_ENTRIES.find((known) => known === name);
	if (entry !== undefined) return entry;
	throw new VsyscallError(
		"ERR_VSYSCALL_FAST_ENTRY",
		`unknown fast entry "${name}": give auto (the default), syscall, sysenter, int80 or host`,
	);
};

/** A NOP in front where the fast instructions are used, by kernels from 7.0 on; otherwise `int 0x80` and a return stand there. */
const NOP = [0x0f, 0x1f, 0x00];
/** push ecx, edx and ebp; then mov ebp, ecx and syscall, or mov ebp, esp and sysenter (system_call.S, v4.0 to v7.0). */
const PUSHES = [0x51, 0x52, 0x55];
const FORMS = [
	["syscall", [...PUSHES, 0x89, 0xcd, 0x0f, 0x05]],
	["sysenter", [...PUSHES, 0x89, 0xe5, 0x0f, 0x34]],
] as const;

const begins = (code: Uint8Array, bytes: readonly number[]): boolean =>
	bytes.every((byte, index) => code[index] === byte);

/** What the host's kernel has chosen. @param code of its __kernel_vsyscall; empty when there is none */
export const hostEntryForm = (code: Uint8Array): "syscall" | "sysenter" | "int80" => {
	const body = begins(code, NOP) ? code.subarray(NOP.length) : code;
	return FORMS.find(([, bytes]) => begins(body, bytes))?.[0] ?? "int80";
};
