/** What the verbs take, read from the program itself: what --help says is what is completed. */
import type { Argument, Command, Help, Option } from "commander";

/** What a word may be. */
export type Words =
	| { readonly kind: "choices"; readonly words: readonly string[] }
	| { readonly kind: "clock" | "file" | "program" | "process" | "anything" };

export interface OptionModel {
	/** "-v" and "--version", as far as there are. */
	readonly names: readonly string[];
	readonly description: string;
	/** Undefined for a flag. */
	readonly value: Words | undefined;
}

export interface VerbModel {
	/** "clock create"; "" for the program. */
	readonly path: string;
	readonly name: string;
	readonly description: string;
	readonly options: readonly OptionModel[];
	readonly verbs: readonly VerbModel[];
	/** What the first, second, ... argument may be; the last one stands for all that follow when it may be repeated. */
	readonly arguments: readonly Words[];
	readonly isRepeated: boolean;
	/** What follows is the command of another program. */
	readonly runsProgram: boolean;
}

const BY_PLACEHOLDER: Readonly<Record<string, Words>> = {
	program: { kind: "program" },
	pid: { kind: "process" },
	spec: { kind: "anything" },
	duration: { kind: "anything" },
	rate: { kind: "anything" },
	time: { kind: "anything" },
};

const placeholderOf = (flags: string): string => /[<[]([\w-]+)/.exec(flags)?.[1] ?? "";

const valueOf = (option: Option): Words | undefined => {
	if (!option.required && !option.optional) return undefined;
	if (option.argChoices !== undefined) return { kind: "choices", words: option.argChoices };
	if (option.long === "--clock") return { kind: "clock" };
	const placeholder = placeholderOf(option.flags);
	if (/^(file|path|directory)/.test(placeholder)) return { kind: "file" };
	return BY_PLACEHOLDER[placeholder] ?? { kind: "anything" };
};

/** An argument that is nothing else may be a file. */
const wordsOf = (argument: Argument, path: string): Words => {
	if (argument.argChoices !== undefined) return { kind: "choices", words: argument.argChoices };
	const name = argument.name();
	if (name === "name" && path.startsWith("clock ")) return { kind: path === "clock create" ? "anything" : "clock" };
	return BY_PLACEHOLDER[name] ?? { kind: "file" };
};

/** An option of a verb whose help is written by hand: "  -f, --file PATH   what it is". */
const HELP_LINE = /^ {2}(-[\w-]+(?:, -[\w-]+)*)(?: ([A-Z]+))?(?: {2,}|\n {3,})(\S.*)$/gm;

const optionsInText = (help: string): readonly OptionModel[] =>
	[...help.matchAll(HELP_LINE)].map(([, names = "", placeholder, description = ""]) => ({
		names: names.split(", "),
		description,
		value: placeholder === undefined ? undefined : { kind: placeholder === "PATH" ? "file" : "anything" },
	}));

/** Whether a verb's help is a text of its own: its arguments are not read by our parser. */
export const hasOwnHelp = (command: Command): boolean => Object.hasOwn(command.createHelp(), "formatHelp");

const optionsOf = (command: Command, help: Help): readonly OptionModel[] => {
	if (hasOwnHelp(command)) {
		const written = optionsInText(command.helpInformation());
		if (written.length > 0) return written;
	}
	return help.visibleOptions(command).map((option) => ({
		names: [option.short, option.long].filter((name) => name !== undefined),
		description: option.description,
		value: valueOf(option),
	}));
};

const modelOf = (command: Command, help: Help, path: readonly string[]): VerbModel => {
	const words = path.join(" ");
	const below = help.visibleCommands(command);
	const args = command.registeredArguments;
	return {
		path: words,
		name: command.name(),
		description: command.description(),
		options: optionsOf(command, help),
		verbs: below.map((verb) =>
			isHelpCommand(verb) ? helpModel(verb, path, below) : modelOf(verb, help, [...path, verb.name()]),
		),
		arguments: args.map((argument) => wordsOf(argument, words)),
		isRepeated: args.at(-1)?.variadic === true,
		runsProgram: args[0]?.name() === "program",
	};
};

/** `help VERB`, which commander adds by itself: it belongs to no program. */
const isHelpCommand = (command: Command): boolean => command.name() === "help" && command.parent === null;

const helpModel = (command: Command, path: readonly string[], siblings: readonly Command[]): VerbModel => ({
	path: [...path, "help"].join(" "),
	name: "help",
	description: command.description(),
	options: [],
	verbs: [],
	arguments: [{ kind: "choices", words: siblings.filter((verb) => verb !== command).map((verb) => verb.name()) }],
	isRepeated: false,
	runsProgram: false,
});

/** The program, with its verbs below it. */
export const readVerbs = (program: Command): VerbModel => modelOf(program, program.createHelp(), []);

/** A verb and all below it. */
export const withAllVerbs = (verb: VerbModel): readonly VerbModel[] => [verb, ...verb.verbs.flatMap(withAllVerbs)];
