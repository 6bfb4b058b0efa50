/** Completion for bash, which needs nothing but bash: COMP_WORDS holds "--clock=x" as three words. */
import { type VerbModel, withAllVerbs, type Words } from "./verbs.ts";

const quoted = (text: string): string => `"${text}"`;

/** What sets the candidates, as a line of bash. */
const candidates = (words: Words): string => {
	switch (words.kind) {
		case "choices":
			return `words=${quoted(words.words.join(" "))}`;
		case "clock":
			return "words=$(_vsyscall_clocks)";
		case "process":
			return "words=$(cd /proc && echo [0-9]*)";
		case "file":
			return "files=1";
		case "program":
			return "programs=1";
		case "anything":
			return ":";
	}
};

const branch = (patterns: readonly string[], body: string): readonly string[] =>
	patterns.length === 0 ? [] : [`${patterns.join(" | ")}) ${body} ;;`];

const indented = (lines: readonly string[], depth: number): string =>
	lines.map((line) => "\t".repeat(depth) + line).join("\n");

/** @param separator of the words of a pattern: what stands behind the path of a verb */
const pattern = ({ path }: VerbModel, rest: string): string => `${quoted(path)}:${rest}`;

/** The words in front of the cursor, one after the other: verbs, options that take the next word, arguments. */
const walk = (all: readonly VerbModel[]): readonly string[] => [
	...all.flatMap((verb) =>
		verb.verbs.flatMap((below) => branch([pattern(verb, below.name)], `verb=${quoted(below.path)}`)),
	),
	...branch(
		all.flatMap((verb) =>
			verb.options
				.filter(({ value }) => value !== undefined)
				.flatMap(({ names }) => names.map((name) => pattern(verb, name))),
		),
		"option=$word",
	),
	...branch(
		all.filter((verb) => verb.runsProgram).map((verb) => pattern(verb, "--")),
		"start=$index",
	),
	"*:-*) ;;",
	...branch(
		all.filter((verb) => verb.runsProgram).map((verb) => pattern(verb, "*")),
		"start=$((index - 1))",
	),
	"*) count=$((count + 1)) ;;",
];

const values = (all: readonly VerbModel[]): readonly string[] =>
	all.flatMap((verb) =>
		verb.options.flatMap(({ names, value }) =>
			value === undefined
				? []
				: branch(
						names.map((name) => pattern(verb, name)),
						candidates(value),
					),
		),
	);

const options = (all: readonly VerbModel[]): readonly string[] =>
	all.flatMap((verb) =>
		branch([quoted(verb.path)], `words=${quoted(verb.options.flatMap(({ names }) => names).join(" "))}`),
	);

const places = (all: readonly VerbModel[]): readonly string[] =>
	all.flatMap((verb) => [
		...branch(
			verb.verbs.length === 0 ? [] : [pattern(verb, "0")],
			`words=${quoted(verb.verbs.map(({ name }) => name).join(" "))}`,
		),
		...verb.arguments.flatMap((words, index) => {
			const isOpen = verb.isRepeated && index === verb.arguments.length - 1;
			return branch([pattern(verb, isOpen ? "*" : String(index))], candidates(words));
		}),
	]);

export const bashCompletion = (program: VerbModel): string => {
	const all = withAllVerbs(program);
	return `# Completion of vsyscall for bash, made by: vsyscall completion bash
_vsyscall_clocks() {
	"\${COMP_WORDS[0]}" clock list 2>/dev/null | awk 'NR > 1 { print $1 }'
}

_vsyscall() {
	local current=\${COMP_WORDS[COMP_CWORD]} verb="" option="" word="" words="" files="" programs=""
	local index=1 count=0 start=0
	COMPREPLY=()
	while ((index < COMP_CWORD && start == 0)); do
		word=\${COMP_WORDS[index]}
		index=$((index + 1))
		if [[ -n $option ]]; then
			[[ $word == = ]] || option=""
			continue
		fi
		case $verb:$word in
${indented(walk(all), 2)}
		esac
	done
	[[ $current == = ]] && current=""
	if ((start > 0 && start < COMP_CWORD)); then
		if declare -F _command_offset >/dev/null; then
			_command_offset "$start"
			return
		fi
		files=1
	elif ((start > 0)); then
		programs=1
	elif [[ -n $option ]]; then
		case $verb:$option in
${indented(values(all), 2)}
		esac
	elif [[ $current == -* ]]; then
		case $verb in
${indented(options(all), 2)}
		esac
	else
		case $verb:$count in
${indented(places(all), 2)}
		esac
	fi
	if [[ -n $files ]]; then
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
	elif [[ -n $programs ]]; then
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <({ compgen -c -- "$current"; compgen -f -- "$current"; } | sort -u)
	else
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
	fi
}

complete -F _vsyscall vsyscall
`;
};
