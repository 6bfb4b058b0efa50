/** What differs from the kernel's own behaviour in a mode, row by row: the exceptions that docs/modes.md lists. */

export interface Expectation {
	/** What page-facts prints natively on the kernel booted with the mode. */
	readonly facts: string;
	readonly mode: "emulate" | "xonly" | "none";
	readonly host: "emulate" | "xonly" | "none";
}

/** Rows of a host that was booted with vsyscall=emulate: nothing can forbid a read there. */
const READABLE = new Map([
	["read 0", "read 0: 48 c7"],
	["read 0x407", "read 0x407: 0f 05"],
	["read 0xffe", "read 0xffe: cc cc"],
	["copy", "copy: 48c7c0c9..cc moved on"],
]);

const rowOf = (line: string): string => line.slice(0, line.indexOf(":", line.startsWith("site:") ? 5 : 0));

export const expectedFacts = ({ facts, mode, host }: Expectation): string =>
	facts
		.split("\n")
		.map((line) => (host === "emulate" && mode !== "emulate" ? (READABLE.get(rowOf(line)) ?? line) : line))
		.join("\n");
