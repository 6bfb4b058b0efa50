/** `vsyscall man`: the manual page in roff (man(7)), made from the program that --help is made from. */
import type { Command, Help } from "commander";
import { hasOwnHelp } from "./completion/verbs.ts";
import { addExamples } from "./examples.ts";
import { writeOut } from "./messages.ts";
import { VERSION } from "./version.ts";

const EXAMPLES = ["vsyscall man | man -l -", "vsyscall man > vsyscall.1"];

/** Backslashes and hyphens as themselves, and no control line by accident. */
const escaped = (text: string): string =>
	text
		.replaceAll("\\", "\\e")
		.replaceAll("-", "\\-")
		.replace(/^(?=[.'])/gm, "\\&");

const bold = (text: string): string => `\\fB${escaped(text)}\\fR`;

/** Placeholders in italics, everything else in bold: "--clock <spec>". */
const terms = (text: string): string =>
	text
		.split(/(<[^>]+>|\[[^\]]+\])/)
		.filter((part) => part !== "")
		.map((part) => (/^[<[]/.test(part) ? `\\fI${escaped(part.replace(/[<>]/g, ""))}\\fR` : bold(part)))
		.join("");

const tagged = (term: string, description: string): readonly string[] => [".TP", terms(term), escaped(description)];

const verbatim = (text: string): readonly string[] => [".nf", ".RS 4", escaped(text), ".RE", ".fi"];

/** What --help shows behind the options: texts added with addHelpText. */
const textBehind = (command: Command): string => {
	const before = command.configureOutput();
	let shown = "";
	command.configureOutput({ ...before, writeOut: (text) => (shown += text) });
	command.outputHelp();
	command.configureOutput(before);
	return shown.slice(command.helpInformation().length);
};

const isIndented = (line: string): boolean => line.startsWith("  ");

/** Paragraphs as they are; lines that are indented below a heading stay lines. */
const further = (text: string): readonly string[] =>
	text
		.split(/\n\s*\n/)
		.map((paragraph) => paragraph.replace(/^\n+|\s+$/g, ""))
		.filter((paragraph) => paragraph !== "")
		.flatMap((paragraph) => {
			const [heading = "", ...lines] = paragraph.split("\n");
			if (lines.length === 0 || !lines.every(isIndented)) return [".PP", escaped(paragraph)];
			return [".PP", bold(heading), ...verbatim(lines.map((line) => line.slice(2)).join("\n"))];
		});

const optionLines = (command: Command, help: Help): readonly string[] =>
	help
		.visibleOptions(command)
		.filter(({ long }) => long !== "--help")
		.flatMap((option) => tagged(help.optionTerm(option), help.optionDescription(option)));

const argumentLines = (command: Command, help: Help): readonly string[] =>
	help
		.visibleArguments(command)
		.flatMap((argument) => tagged(`<${help.argumentTerm(argument)}>`, help.argumentDescription(argument)));

const verbLines = (command: Command, help: Help): readonly string[] => {
	if (hasOwnHelp(command))
		return [`.SS ${escaped(`vsyscall ${command.name()}`)}`, ...verbatim(command.helpInformation())];
	return [
		`.SS ${escaped(help.commandUsage(command))}`,
		escaped(command.description()),
		...argumentLines(command, help),
		...optionLines(command, help),
		...further(textBehind(command)),
		...help
			.visibleCommands(command)
			.filter((verb) => verb.parent === command)
			.flatMap((verb) => verbLines(verb, help)),
	];
};

/** The page as roff. */
export const manualPage = (program: Command): string => {
	const help = program.createHelp();
	const verbs = help.visibleCommands(program).filter((verb) => verb.parent === program);
	return [
		`.TH VSYSCALL 1 "" "vsyscall ${VERSION}" "User Commands"`,
		// Left-aligned and without hyphens: words are to be found, and to be typed.
		".ad l",
		".nh",
		".SH NAME",
		`vsyscall \\- ${escaped(
			program
				.description()
				.replace(/^./, (first) => first.toLowerCase())
				.replace(/\.$/, ""),
		)}`,
		".SH SYNOPSIS",
		...verbs.flatMap((verb, index) => [
			...(index === 0 ? [] : [".br"]),
			terms(hasOwnHelp(verb) ? `vsyscall ${verb.name()} ...` : help.commandUsage(verb)),
		]),
		".SH COMMANDS",
		...verbs.flatMap((verb) => verbLines(verb, help)),
		".SH OPTIONS",
		...optionLines(program, help),
		...further(textBehind(program)),
		"",
	].join("\n");
};

export const addManCommand = (program: Command): void => {
	const command = program
		.command("man")
		.description("print the manual page, for man -l -")
		.action(() => writeOut(manualPage(program)));
	addExamples(command, EXAMPLES);
};
