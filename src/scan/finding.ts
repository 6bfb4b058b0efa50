/**
 * What a scan finds in one ELF file.
 *
 *     call      code calls or jumps to an entry: the call is decoded, and the operand that led it there is known
 *     address   code takes the address of an entry and stores, passes or returns it: what calls it is not known
 *     pointer   a word in data holds the address of an entry, and no code was found that calls through it
 *     go        the same in a variable of the Go runtime, which is called when the host has no vDSO
 *     read      code reads the page: only emulate and native have it readable
 *     glibc     a C library of a version that calls the page (static before 2.14, dynamic before 2.15): told by its version alone
 *     mention   code compares with the address or computes with it, and does not call it: a debugger, an unwinder
 *
 * A mention is no need for the page. It is listed, and counts for nothing.
 */
import type { DisassembledInstruction } from "../asm/disassembler.ts";

export type FindingKind = "call" | "address" | "pointer" | "go" | "read" | "glibc" | "mention";

export type EntryName = "gettimeofday" | "time" | "getcpu";

/** Which operand of a call is changed at run time (docs/modes.md); `none`: each of its calls is answered by the supervisor. */
export type PatchedOperand = "immediate" | "immediate64" | "pointer" | "displacement" | "none";

export interface CodeLine extends Pick<DisassembledInstruction, "bytes" | "text"> {
	readonly address: bigint;
}

export interface Finding {
	readonly kind: FindingKind;
	/** undefined for an address in the page that is no entry, and for a version. */
	readonly entry: EntryName | undefined;
	/** Of the call, the instruction or the word; as linked. undefined for a version. */
	readonly address: bigint | undefined;
	/** The same place in the file, in bytes. */
	readonly offset: number | undefined;
	readonly section: string | undefined;
	/** What covers the address: `name`, `name+0x1c`. */
	readonly symbol: string | undefined;
	/** From the operand to the call; empty for data and versions. */
	readonly code: readonly CodeLine[];
	/** Where the call's target is read from, if that is a word in data. */
	readonly pointer: bigint | undefined;
	/** undefined where there is no call. */
	readonly patch: PatchedOperand | undefined;
	/** What else is to be said: a version, a shape. */
	readonly detail: string | undefined;
}

/** Whether a program with this finding may need the page. */
export const isNeed = ({ kind }: Finding): boolean => kind !== "mention";
