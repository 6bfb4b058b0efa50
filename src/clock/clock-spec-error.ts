import { VsyscallError } from "../errors.ts";

const LONGEST_QUOTE = 120;
/** What JSON leaves as it is although a terminal may act on it or break the line at it. */
const UNPRINTABLE = /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** `text` in double quotes on one line, without control characters, shortened when it is long. */
export const quoted = (text: string): string => {
	const shown = text.length > LONGEST_QUOTE ? `${text.slice(0, LONGEST_QUOTE)}…` : text;
	return JSON.stringify(shown).replace(
		UNPRINTABLE,
		(character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
	);
};

/** What is wrong with a clock spec, where, and a spec that is right. */
export type ClockSpecFault = {
	/** What the input is. @default "clock spec" */
	readonly subject?: string;
	readonly input: string;
	/** Offset in `input` of the first character that is wrong; the length of `input` when something is missing. */
	readonly position: number;
	readonly reason: string;
	readonly example: string;
};

/** A clock spec that cannot be used. Its message is one line, counts positions from 1 and ends with an example. */
export class ClockSpecError extends VsyscallError {
	override readonly name: string = "ClockSpecError";
	readonly input: string;
	/** Offset in UTF-16 units, from 0; `0 <= position <= input.length`. */
	readonly position: number;

	constructor(fault: ClockSpecFault, options?: ErrorOptions) {
		const place = `${fault.subject ?? "clock spec"} ${quoted(fault.input)}: position ${fault.position + 1}`;
		super("ERR_VSYSCALL_CLOCK_SPEC", `${place}: ${fault.reason}, for example ${fault.example}`, options);
		this.input = fault.input;
		this.position = fault.position;
	}
}
