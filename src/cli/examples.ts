/** The end of every --help: what a user would type. A test runs each line. */
import type { Command } from "commander";

/** @param examples lines of a shell, of at most 78 columns; a verb that is not served yet has none */
export const addExamples = (command: Command, examples: readonly string[] = []): Command =>
	examples.length === 0
		? command
		: command.addHelpText("after", ["\nExamples:", ...examples.map((line) => `  ${line}`)].join("\n"));
