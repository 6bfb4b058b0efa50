/** What stands in the way of a named clock, one error each. */
import { VsyscallError } from "../errors.ts";

const error = (message: string, cause?: unknown): VsyscallError =>
	new VsyscallError("ERR_VSYSCALL_CLOCK", message, cause === undefined ? {} : { cause });

export const badName = (name: string): VsyscallError =>
	error(
		`${JSON.stringify(name)} cannot be the name of a clock: 1 to 64 letters, digits, dots, dashes and underscores, a letter or digit first, and not a clock spec`,
	);

export const exists = (name: string): VsyscallError =>
	error(
		`there is a clock called ${name} already (vsyscall clock set ${name} SPEC changes it, clock rm ${name} removes it)`,
	);

export const unknown = (name: string, known: readonly string[]): VsyscallError =>
	error(
		`no clock is called ${name}${known.length === 0 ? "" : ` (there is ${known.join(", ")})`}: vsyscall clock create ${name} makes one`,
	);

/** Of a word that could also have been meant as a clock spec. */
export const neither = (word: string, known: readonly string[]): VsyscallError =>
	error(
		`${word} is neither a clock spec (for example +30d or @2038-01-19T03:14:07Z) nor the name of a clock${known.length === 0 ? "" : ` (there is ${known.join(", ")})`}`,
	);

export const unusable = (name: string, reason: string): VsyscallError =>
	error(`clock ${name} cannot be used: ${reason}`);

export const busy = (name: string): VsyscallError =>
	error(`clock ${name} is being changed by a process that does not go on; nothing was changed`);

export const badDirectory = (path: string, reason: string, cause?: unknown): VsyscallError =>
	error(`${path}, where clocks are kept, ${reason}: set VSYSCALL_RUNTIME_DIR to a directory of your own`, cause);
