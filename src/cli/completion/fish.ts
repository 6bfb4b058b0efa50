/** Completion for fish: one line for each verb, option and argument, with the condition under which it counts. */
import { type OptionModel, type VerbModel, withAllVerbs, type Words } from "./verbs.ts";

const quoted = (text: string): string => `'${text.replace(/['\\]/g, "\\$&")}'`;

/** Flags of `complete` for a word. */
const words = (each: Words): string => {
	switch (each.kind) {
		case "choices":
			return `-x -a ${quoted(each.words.join(" "))}`;
		case "clock":
			return "-x -a '(__vsyscall_clocks)'";
		case "process":
			return "-x -a '(__fish_complete_pids)'";
		case "file":
			return "-r -F";
		case "program":
			return "-x -a '(__vsyscall_program)'";
		case "anything":
			return "-x";
	}
};

const condition = ({ path }: VerbModel): string => `-n ${quoted(`__vsyscall_at ${path}`.trimEnd())}`;

const option = (verb: VerbModel, { names, description, value }: OptionModel): string =>
	[
		"complete -c vsyscall",
		condition(verb),
		...names.map((name) => (name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`)),
		...(value === undefined ? [] : [words(value)]),
		`-d ${quoted(description)}`,
	].join(" ");

const argument = (verb: VerbModel, each: Words, index: number): string => {
	const isOpen = verb.isRepeated && index === verb.arguments.length - 1;
	const at = isOpen ? `__vsyscall_in ${verb.path}` : `__vsyscall_argument ${index} ${verb.path}`;
	return `complete -c vsyscall -n ${quoted(at)} ${words(each)}`;
};

const lines = (verb: VerbModel): readonly string[] => [
	...verb.verbs.map(
		({ name, description }) =>
			`complete -c vsyscall -n ${quoted(`__vsyscall_argument 0 ${verb.path}`.trimEnd())} -x -a ${name} -d ${quoted(description)}`,
	),
	...verb.options.map((each) => option(verb, each)),
	...verb.arguments.map((each, index) => argument(verb, each, index)),
];

export const fishCompletion = (program: VerbModel): string => {
	const all = withAllVerbs(program);
	const withValue = [
		...new Set(
			all.flatMap(({ options }) => options.filter(({ value }) => value !== undefined).flatMap(({ names }) => names)),
		),
	];
	const exact = all
		.filter(({ runsProgram, verbs }) => runsProgram || verbs.length > 0)
		.map(({ path }) => quoted(path))
		.join(" ");
	return `# Completion of vsyscall for fish, made by: vsyscall completion fish
function __vsyscall_clocks
	vsyscall clock list 2>/dev/null | awk 'NR > 1 { print $1 }'
end

# The words in front of the cursor without options and their values.
function __vsyscall_words
	set -l skip 0
	set -l found
	for word in (commandline -opc)[2..]
		if test $skip = 1
			set skip 0
			continue
		end
		if contains -- $word ${withValue.join(" ")}
			set skip 1
		else if not string match -q -- '-*' $word
			set -a found $word
		end
	end
	string join \\n -- $found
end

# Whether the words begin with those of a verb.
function __vsyscall_in
	set -l found (__vsyscall_words)
	test (count $found) -ge (count $argv); or return 1
	test (count $argv) -eq 0; or test "$found[1..$(count $argv)]" = "$argv"
end

# Whether options here are those of a verb: not those of a program that it runs, nor of a verb below it.
function __vsyscall_at
	__vsyscall_in $argv; or return 1
	contains -- "$argv" ${exact}; and test (count (__vsyscall_words)) -gt (count $argv); and return 1
	return 0
end

# Whether the word at the cursor is the argument of that number, from 0 on, of a verb.
function __vsyscall_argument
	test (count (__vsyscall_words)) -eq (math (count $argv) - 1 + $argv[1]); and __vsyscall_in $argv[2..]
end

# What completes the command of a run: as if it stood there alone.
function __vsyscall_program
	set -l words (commandline -opc)[3..]
	while set -q words[1]; and string match -q -- '-*' $words[1]
		if test $words[1] = --
			set -e words[1]
			break
		end
		contains -- $words[1] ${withValue.join(" ")}; and set -e words[1]
		set -e words[1]
	end
	set -l line (string escape -- $words) (commandline -ct)
	complete "--do-complete=$line"
end

complete -c vsyscall -f
${all.flatMap(lines).join("\n")}
`;
};
