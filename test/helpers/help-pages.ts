/** What every verb says of itself: the pages of --help, found by the verbs that they list. */
import { vsyscall } from "./vsyscall.ts";

export interface HelpPage {
	/** ["clock", "create"]; empty for the program. */
	readonly verb: readonly string[];
	readonly text: string;
	/** "--clock" and "-h" of the section Options. */
	readonly options: readonly string[];
	/** Lines of the section Examples. */
	readonly examples: readonly string[];
}

/** The lines of a section, up to the next line that is empty or not indented. */
const section = (text: string, heading: string): readonly string[] => {
	const lines = text.split("\n");
	const start = lines.indexOf(`${heading}:`);
	if (start < 0) return [];
	const length = lines.slice(start + 1).findIndex((line) => !line.startsWith("  "));
	return lines.slice(start + 1, length < 0 ? undefined : start + 1 + length);
};

const readPage = async (verb: readonly string[]): Promise<readonly HelpPage[]> => {
	const { stdout, exitCode } = await vsyscall([...verb, "--help"]);
	if (exitCode !== 0) throw new Error(`vsyscall ${verb.join(" ")} --help ended with ${exitCode}`);
	const options = section(stdout, "Options")
		.filter((line) => /^ {2}-/.test(line))
		.flatMap((line) => (/^ {2}(-[\w-]+(?:, -[\w-]+)*)/.exec(line)?.[1] ?? "").split(", "));
	const below = section(stdout, "Commands").flatMap((line) => /^ {2}([a-z][\w-]*)/.exec(line)?.[1] ?? []);
	const page: HelpPage = {
		verb,
		text: stdout,
		options,
		examples: section(stdout, "Examples").map((line) => line.trim()),
	};
	const pages = [page];
	for (const name of below.filter((each) => each !== "help")) pages.push(...(await readPage([...verb, name])));
	return pages;
};

/** The pages of the program and of all verbs. */
export const readHelpPages = (): Promise<readonly HelpPage[]> => readPage([]);
