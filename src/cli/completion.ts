/** `vsyscall completion SHELL`: prints the script by which a shell completes our words. */
import { Argument, type Command } from "commander";
import { addExamples } from "./examples.ts";
import { writeOut } from "./messages.ts";

const SHELLS = ["bash", "zsh", "fish"] as const;
type Shell = (typeof SHELLS)[number];

const EXAMPLES = [
	"source <(vsyscall completion bash)",
	"vsyscall completion fish > vsyscall.fish    # in ~/.config/fish/completions",
];

const IN_ZSH = "\nzsh takes the line of bash, behind compinit, or a file _vsyscall in fpath.";

const print = async (program: Command, shell: Shell): Promise<void> => {
	const { readVerbs } = await import("./completion/verbs.ts");
	const verbs = readVerbs(program);
	switch (shell) {
		case "bash":
			return writeOut((await import("./completion/bash.ts")).bashCompletion(verbs));
		case "zsh":
			return writeOut((await import("./completion/zsh.ts")).zshCompletion(verbs));
		case "fish":
			return writeOut((await import("./completion/fish.ts")).fishCompletion(verbs));
	}
};

export const addCompletionCommand = (program: Command): void => {
	const command = program
		.command("completion")
		.description("print a script that completes verbs, options and clocks in a shell")
		.addArgument(new Argument("<shell>", "which shell").choices(SHELLS))
		.action((shell: Shell) => print(program, shell));
	addExamples(command, EXAMPLES).addHelpText("after", IN_ZSH);
};
