/** Runs the command line as a user would, and proves that nothing is left behind. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, type SpawnOptions } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The bundled command line: what `npx vsyscall` starts. */
export const CLI: string = fileURLToPath(new URL("../../vsyscall.cjs", import.meta.url));

export interface Finished {
	readonly stdout: string;
	readonly stderr: string;
	readonly exitCode: number | null;
	readonly signal: NodeJS.Signals | null;
}

export interface RunSettings {
	readonly env?: Readonly<Record<string, string>>;
	readonly cwd?: string;
	readonly uid?: number;
	readonly gid?: number;
	readonly input?: string;
	/** The test writes to the program's stdin while it runs, and ends it. @default false */
	readonly interactive?: boolean;
	/** @default 60_000 */
	readonly timeoutMs?: number;
	/** The test ends what is left itself (daemons). @default false */
	readonly allowLeftovers?: boolean;
}

const MARK = "VSYSCALL_TEST_RUN";

const read = (path: string): string => {
	try {
		return readFileSync(path, "latin1");
	} catch {
		return "";
	}
};

/** Processes whose environment carries this mark. */
export const markedProcesses = (mark: string): readonly number[] =>
	readdirSync("/proc")
		.filter((name) => /^\d+$/.test(name))
		.map(Number)
		.filter((pid) => read(`/proc/${pid}/environ`).includes(mark));

/** Children of this process that nobody has waited for. */
const ownZombies = (): readonly string[] =>
	readdirSync("/proc")
		.filter((name) => /^\d+$/.test(name))
		.map((name) => read(`/proc/${name}/stat`))
		.filter((stat) => {
			const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
			return state === "Z" && parent === String(process.pid);
		});

/** Asserts that a run has left no process (and with it no tracee and no mapping) and no zombie. */
export const assertNothingLeft = async (mark: string): Promise<void> => {
	// The kernel may still be tearing down a process whose parent has been told.
	for (let attempt = 0; attempt < 50 && markedProcesses(mark).length > 0; attempt++) {
		await new Promise((resolve) => setTimeout(resolve, 20));
	}
	const left = markedProcesses(mark).map((pid) => `${pid}: ${read(`/proc/${pid}/cmdline`).replaceAll("\0", " ")}`);
	assert.deepEqual(left, [], "processes of the run are left");
	assert.deepEqual(ownZombies(), [], "zombies are left");
};

export interface Started {
	readonly child: ChildProcess;
	readonly mark: string;
	readonly finished: Promise<Finished>;
}

/** Starts any command with a mark in its environment and collects what it prints. */
export const startCommand = (file: string, args: readonly string[], settings: RunSettings = {}): Started => {
	const mark = `${MARK}=${randomUUID()}`;
	const [name = MARK, value = ""] = mark.split("=");
	const options: SpawnOptions = {
		env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin", LC_ALL: "C", TZ: "UTC", ...settings.env, [name]: value },
		stdio: [settings.input === undefined && settings.interactive !== true ? "ignore" : "pipe", "pipe", "pipe"],
		...(settings.cwd === undefined ? {} : { cwd: settings.cwd }),
		...(settings.uid === undefined ? {} : { uid: settings.uid }),
		...(settings.gid === undefined ? {} : { gid: settings.gid }),
	};
	const child = spawn(file, args, options);
	const finished = new Promise<Finished>((resolve, reject) => {
		const output = { stdout: "", stderr: "" };
		child.stdout?.setEncoding("utf8").on("data", (text: string) => (output.stdout += text));
		child.stderr?.setEncoding("utf8").on("data", (text: string) => (output.stderr += text));
		const timeout = setTimeout(() => {
			child.kill("SIGKILL");
			for (const pid of markedProcesses(mark)) process.kill(pid, "SIGKILL");
			reject(new Error(`timed out: ${file} ${args.join(" ")}\n${output.stdout}\n${output.stderr}`));
		}, settings.timeoutMs ?? 60_000);
		child.on("error", (error) => {
			clearTimeout(timeout);
			reject(error);
		});
		child.on("close", (exitCode, signal) => {
			clearTimeout(timeout);
			resolve({ ...output, exitCode, signal });
		});
	});
	if (settings.input !== undefined) child.stdin?.end(settings.input);
	return { child, mark, finished };
};

/** Runs a command natively, to compare with. */
export const native = async (command: readonly string[], settings: RunSettings = {}): Promise<Finished> => {
	const [file = "", ...args] = command;
	return startCommand(file, args, settings).finished;
};

/** Runs any command to its end and asserts that nothing is left of it. */
export const runCommand = async (command: readonly string[], settings: RunSettings = {}): Promise<Finished> => {
	const [file = "", ...args] = command;
	const started = startCommand(file, args, settings);
	const finished = await started.finished;
	if (settings.allowLeftovers !== true) await assertNothingLeft(started.mark);
	return finished;
};

/** Starts `vsyscall ARGS`. */
export const startVsyscall = (args: readonly string[], settings: RunSettings = {}): Started =>
	startCommand(process.execPath, [CLI, ...args], settings);

/** Runs `vsyscall ARGS` to its end and asserts that nothing is left. */
export const vsyscall = (args: readonly string[], settings: RunSettings = {}): Promise<Finished> =>
	runCommand([process.execPath, CLI, ...args], settings);

/** `vsyscall run --clock SPEC -- COMMAND`. */
export const runUnder = (clock: string, command: readonly string[], settings: RunSettings = {}): Promise<Finished> =>
	vsyscall(["run", "--clock", clock, "--", ...command], settings);
