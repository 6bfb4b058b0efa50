/** Completion by the shells themselves: what --help says, and the clocks that there are. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { after, before, test } from "node:test";
import { fixturePath } from "../helpers/fixtures.ts";
import { type HelpPage, readHelpPages } from "../helpers/help-pages.ts";
import { has } from "../helpers/requirements.ts";
import { CLI, vsyscall } from "../helpers/vsyscall.ts";

const directory = mkdtempSync(join(tmpdir(), "vsyscall-completion-"));
const env = {
	PATH: [join(directory, "bin"), process.env["PATH"]].join(delimiter),
	VSYSCALL_RUNTIME_DIR: join(directory, "clocks"),
	HOME: directory,
	LC_ALL: "C.UTF-8",
};
const SHELLS = ["bash", "zsh", "fish"] as const;
type Shell = (typeof SHELLS)[number];
const script = (shell: Shell): string => join(directory, `completion.${shell}`);

let pages: readonly HelpPage[];

before(async () => {
	mkdirSync(join(directory, "bin"));
	const program = join(directory, "bin", "vsyscall");
	writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${CLI}' "$@"\n`);
	chmodSync(program, 0o755);
	writeFileSync(join(directory, "a-file"), "");
	for (const name of ["shop", "lab"]) await vsyscall(["clock", "create", name], { env });
	for (const shell of SHELLS) writeFileSync(script(shell), (await vsyscall(["completion", shell])).stdout);
	pages = await readHelpPages();
});
after(() => rmSync(directory, { recursive: true, force: true }));

const run = (command: readonly string[], input?: string): string => {
	const [file = "", ...args] = command;
	const { stdout, stderr, status } = spawnSync(file, args, {
		encoding: "utf8",
		env,
		cwd: directory,
		input: input ?? "",
	});
	assert.equal(stderr, "");
	assert.equal(status, 0);
	return stdout;
};

/** Words as readline gives them: COMP_WORDBREAKS has "=". */
const splitWords = (line: string): readonly string[] =>
	line.split(" ").flatMap((word) => word.split(/(=)/).filter((part, index) => part !== "" || index === 0));

const inBash = (lines: readonly string[]): readonly (readonly string[])[] => {
	const ask = lines.map((line) => {
		const words = splitWords(line);
		return `COMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length - 1}; _vsyscall; printf '%s\\n' "\${COMPREPLY[@]}"; echo ====`;
	});
	return run(["bash", "--norc", "-s"], [`source '${script("bash")}'`, ...ask].join("\n"))
		.split("====\n")
		.slice(0, -1)
		.map((text) => text.split("\n").filter((word) => word !== ""));
};

const inFish = (lines: readonly string[]): readonly (readonly string[])[] => {
	const ask = lines.map((line) => `complete -C '${line}'; echo ====`);
	return run(["fish", "--no-config", "-c", [`source '${script("fish")}'`, ...ask].join("\n")])
		.split("====\n")
		.slice(0, -1)
		.map((text) =>
			text
				.split("\n")
				.filter((line) => line !== "")
				// fish gives the whole of "--option=value".
				.map((line) => (line.split("\t")[0] ?? "").replace(/^--[\w-]+=/, "")),
		);
};

/** What a shell on a terminal shows after one TAB (the line that it made) or two (what could follow). */
const onTerminal = (shell: "bash" | "zsh", line: string, tabs: 1 | 2): string => {
	const start = {
		bash: { init: `PS1='> '; source '${script("bash")}'`, command: ["bash", "--norc", "-i"] },
		zsh: {
			init: `autoload -U compinit; compinit -u; PS1='> '; source '${script("zsh")}'`,
			command: ["zsh", "-f", "-i"],
		},
	}[shell];
	return run(["python3", fixturePath("tab.py"), start.init, line, String(tabs), ...start.command]);
};

/** A line, what has to be offered, and what must not be. */
const CASES: readonly (readonly [line: string, offered: readonly string[], not: readonly string[]])[] = [
	["vsyscall ", ["run", "clock", "bench", "faketime", "completion", "man"], ["shop", "a-file"]],
	["vsyscall cl", ["clock"], ["run"]],
	["vsyscall help ", ["run", "clock"], ["a-file"]],
	["vsyscall clock ", ["create", "wait-until", "list"], ["run", "shop"]],
	["vsyscall clock set ", ["shop", "lab"], ["a-file"]],
	["vsyscall clock set s", ["shop"], ["lab"]],
	["vsyscall clock advance shop ", [], ["shop", "a-file"]],
	["vsyscall clock create ", [], ["shop", "a-file"]],
	["vsyscall clock rm --", ["--force"], ["--json"]],
	["vsyscall clock rm --force ", ["shop", "lab"], []],
	["vsyscall run --", ["--clock", "--vsyscall", "--no-patch"], ["--json", "--version"]],
	["vsyscall run --clock ", ["shop", "lab"], ["a-file", "run"]],
	["vsyscall run --clock=", ["shop", "lab"], []],
	["vsyscall run --clock=s", ["shop"], ["lab"]],
	["vsyscall run --vsyscall=", ["auto", "native", "emulate", "xonly", "none"], ["exact"]],
	["vsyscall run --vsyscall e", ["emulate"], ["exact"]],
	["vsyscall run --reads ", ["exact", "relaxed", "coarse"], ["auto"]],
	["vsyscall run --on-failure ", ["refuse", "warn"], []],
	["vsyscall run --clock shop --reads=exact pyth", ["python3"], []],
	["vsyscall run --clock shop -- pyth", ["python3"], []],
	["vsyscall run -- cat a-", ["a-file"], ["--clock"]],
	["vsyscall bench --html a-", ["a-file"], []],
	["vsyscall completion ", ["bash", "zsh", "fish"], ["a-file"]],
	["vsyscall faketime -", ["-f", "--date-prog", "--exclude-monotonic"], ["--clock"]],
];

for (const [shell, complete] of [
	["bash", inBash],
	["fish", inFish],
] as const) {
	test(`${shell} offers verbs, options, choices, clocks, programs and files where they belong`, (t) => {
		if (!has(t, shell)) return;
		const answers = complete(CASES.map(([line]) => line));
		CASES.forEach(([line, offered, not], index) => {
			const words = answers[index] ?? [];
			for (const word of offered) assert.ok(words.includes(word), `${line}| ${word} is not in ${words.join(" ")}`);
			for (const word of not) assert.ok(!words.includes(word), `${line}| ${word} is in ${words.join(" ")}`);
		});
	});

	test(`${shell} offers every option of every --help`, (t) => {
		if (!has(t, shell)) return;
		const prefixes = pages.flatMap(({ verb }) => ["-", "--"].map((dash) => ["vsyscall", ...verb, dash].join(" ")));
		const answers = complete(prefixes);
		pages.forEach(({ verb, options }, index) => {
			const words = [...(answers[2 * index] ?? []), ...(answers[2 * index + 1] ?? [])];
			for (const option of options) assert.ok(words.includes(option), `${verb.join(" ")}: ${option}`);
		});
	});
}

for (const shell of ["bash", "zsh"] as const) {
	test(`${shell} on a terminal completes a line and lists what could follow`, (t) => {
		if (!has(t, shell, "python3")) return;
		const made = (line: string): string =>
			/^line: (.*?)\s*$/m.exec(onTerminal(shell, line, 1))?.[1] ?? assert.fail(`${line} was not shown`);
		assert.equal(made("vsyscall cl"), "vsyscall clock");
		assert.equal(made("vsyscall run --vsyscall=e"), "vsyscall run --vsyscall=emulate");
		assert.equal(made("vsyscall clock set sh"), "vsyscall clock set shop");
		assert.match(made("vsyscall run --on-f"), /^vsyscall run --on-failure=?$/);
		assert.equal(made("vsyscall run -- cat a-f"), "vsyscall run -- cat a-file");
		assert.match(onTerminal(shell, "vsyscall run --clock ", 2), /lab +shop/);
		assert.match(onTerminal(shell, "vsyscall clock rm --", 2), /--force[^]*--help/);
	});
}

test("zsh lists every option of every --help", (t) => {
	if (!has(t, "zsh", "python3")) return;
	for (const { verb, options } of pages.filter(({ verb: [first, second] }) => first !== "clock" || second === "rm")) {
		const shown = onTerminal("zsh", ["vsyscall", ...verb, "-"].join(" "), 2);
		for (const option of options) assert.ok(shown.includes(option), `${verb.join(" ")}: ${option} is not in ${shown}`);
	}
});

for (const shell of SHELLS) {
	test(`${shell} finds no fault in the syntax`, (t) => {
		if (!has(t, shell)) return;
		run([shell, "-n", script(shell)]);
	});
}
