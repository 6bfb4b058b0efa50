/** Options whose values are named in --help, the manual and completion. */
import { Option } from "commander";

/**
 * What is given is not compared with them here: the value's own parser does that, and its message says more.
 *
 * @param flags as of `Option`
 */
export const optionOf = (flags: string, description: string, choices: readonly string[]): Option =>
	Object.assign(new Option(flags, description), { argChoices: [...choices] });
