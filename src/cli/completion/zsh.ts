/** Completion for zsh, by _arguments: one function for each verb. */
import type { OptionModel, VerbModel, Words } from "./verbs.ts";
import { withAllVerbs } from "./verbs.ts";

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** Text inside of a spec: brackets and colons end it. */
const escaped = (text: string): string => text.replace(/[\\[\]:]/g, "\\$&");

const action = (words: Words): string => {
	switch (words.kind) {
		case "choices":
			return `(${words.words.join(" ")})`;
		case "clock":
			return "_vsyscall_clocks";
		case "process":
			return "_pids";
		case "file":
			return "_files";
		case "program":
			return "_command_names -e";
		case "anything":
			return "( )";
	}
};

const functionOf = ({ path }: VerbModel): string => ["_vsyscall", ...path.split(" ").filter(Boolean)].join("_");

const option = ({ names, description, value }: OptionModel): string => {
	const exclusive = names.length > 1 ? `(${names.join(" ")})` : "";
	const rest = value === undefined ? "" : `:value:${action(value)}`;
	const specs = names.map((name) => {
		const sign = value !== undefined && name.startsWith("--") ? "=" : "";
		return quoted(`${exclusive}${name}${sign}[${escaped(description)}]${rest}`);
	});
	return specs.join(" ");
};

const args = ({ arguments: words, isRepeated, runsProgram }: VerbModel): readonly string[] => {
	if (runsProgram) return [quoted("(-):program:_command_names -e"), quoted("*::argument:_normal")];
	return words.map((each, index) => {
		const isOpen = isRepeated && index === words.length - 1;
		return quoted(`${isOpen ? "*" : String(index + 1)}:argument:${action(each)}`);
	});
};

const call = (specs: readonly string[], flags: string): string => [`_arguments ${flags}`, ...specs].join(" \\\n\t\t");

const leaf = (verb: VerbModel): string => `${functionOf(verb)}() {
	${call([...verb.options.map(option), ...args(verb)], "-s -S")}
}
`;

const node = (verb: VerbModel): string => `${functionOf(verb)}() {
	local curcontext=$curcontext state line
	local -a verbs
	verbs=(
${verb.verbs.map(({ name, description }) => `\t\t${quoted(`${name}:${description}`)}`).join("\n")}
	)
	${call([...verb.options.map(option), quoted("1:verb:->verb"), quoted("*::argument:->rest")], "-C")}
	case $state in
		verb) _describe -t verbs verb verbs ;;
		rest)
			case $line[1] in
${verb.verbs.map((below) => `\t\t\t\t${below.name}) ${functionOf(below)} ;;`).join("\n")}
			esac
			;;
	esac
}
`;

export const zshCompletion = (program: VerbModel): string => `#compdef vsyscall
# Completion of vsyscall for zsh, made by: vsyscall completion zsh
_vsyscall_clocks() {
	local -a clocks
	clocks=(\${(f)"$(vsyscall clock list 2>/dev/null | awk 'NR > 1 { print $1 }')"})
	_describe -t clocks clock clocks
}

${withAllVerbs(program)
	.toReversed()
	.map((verb) => (verb.verbs.length > 0 ? node(verb) : leaf(verb)))
	.join("\n")}
if [[ $funcstack[1] == _vsyscall ]]; then
	_vsyscall "$@"
else
	compdef _vsyscall vsyscall
fi
`;
