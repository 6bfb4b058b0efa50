/** `vsyscall clock VERB`: names and words -> a change of a named clock, or what is to be said of one. */
import type { Command } from "commander";
import { VsyscallError } from "../errors.ts";
import { type Clock, type ClockState, clockStates, createClock, openClock } from "../named-clock.ts";
import { addExamples } from "./examples.ts";
import { table } from "./format/table.ts";
import { writeOut } from "./messages.ts";

interface Output {
	readonly json?: boolean;
}

const printJson = (value: unknown): void => writeOut(`${JSON.stringify(value, undefined, "\t")}\n`);

const stateAsJson = ({ name, time, kind, spec, createdAt }: ClockState): Readonly<Record<string, string>> => ({
	name,
	time: time.toString(),
	kind,
	spec,
	createdAt: createdAt.toISOString(),
});

const withClock = async (name: string, use: (clock: Clock) => unknown): Promise<void> => {
	const clock = openClock(name);
	try {
		await use(clock);
	} finally {
		clock.close();
	}
};

/** Says what the clock shows after a change. */
const change = (name: string, make: (clock: Clock) => Promise<unknown>): Promise<void> =>
	withClock(name, async (clock) => {
		const time = await make(clock);
		writeOut(`${String(time)}\n`);
	});

const show = (state: ClockState, { json }: Output): void => {
	if (json === true) return printJson(stateAsJson(state));
	writeOut(`${state.time.toString()}  ${state.spec}\n`);
};

const list = ({ json }: Output): void => {
	const states = clockStates();
	if (json === true) return printJson(states.map((state) => ({ ...stateAsJson(state), processes: state.processes })));
	if (states.length === 0) return;
	const rows = states.map((state) => [state.name, state.time.toString(), state.spec, String(state.processes)]);
	writeOut(table([["NAME", "TIME", "SPEC", "PROCESSES"], ...rows]));
};

const ps = (clock: Clock, { json }: Output): void => {
	const members = clock.processes();
	if (json === true) {
		return printJson(
			members.map(({ pid, command, startedAt, uncovered, except }) => ({
				pid,
				command,
				startedAt: startedAt.toISOString(),
				covered: uncovered === undefined,
				...(uncovered === undefined ? {} : { reason: uncovered }),
				...(except === undefined ? {} : { except }),
			})),
		);
	}
	if (members.length === 0) return;
	const rows = members.map(({ pid, command, startedAt, uncovered, except }) => [
		String(pid),
		startedAt.toISOString().replace(/\.\d+Z$/, "Z"),
		uncovered ?? (except === undefined ? "yes" : `yes, except ${except}`),
		command.join(" "),
	]);
	writeOut(table([["PID", "STARTED", "COVERED", "COMMAND"], ...rows]));
};

const remove = (clock: Clock, { force }: { readonly force?: boolean }): void => {
	const count = clock.processes().length;
	if (count > 0 && force !== true) {
		throw new VsyscallError(
			"ERR_VSYSCALL_CLOCK",
			`${count} ${count === 1 ? "process is" : "processes are"} on the clock ${clock.name} (vsyscall clock ps ${clock.name} lists them): end them first, or --force removes the name and leaves them its time`,
		);
	}
	clock.remove();
};

/** Of each verb, as a user would type them. */
const EXAMPLES: Readonly<Record<string, readonly string[]>> = {
	create: ["vsyscall clock create shop '@2027-01-31T23:59:00Z'", "vsyscall clock create lab '+1y frozen'"],
	set: ["vsyscall clock set shop '@2030-06-01T12:00Z'", "vsyscall clock set shop '+10y drift=50'"],
	advance: ["vsyscall clock advance shop 30d", "vsyscall clock advance shop P1M"],
	freeze: ["vsyscall clock freeze shop", "vsyscall clock freeze shop && vsyscall clock show shop"],
	resume: ["vsyscall clock resume shop", "vsyscall clock set shop '2030-01-01Z frozen' && vsyscall clock resume shop"],
	reset: ["vsyscall clock reset shop", "vsyscall clock reset shop && vsyscall clock show shop --json"],
	show: ["vsyscall clock show shop", "vsyscall clock show shop --json"],
	list: ["vsyscall clock list", "vsyscall clock list --json"],
	ps: ["vsyscall clock ps shop", "vsyscall clock ps shop --json"],
	rm: ["vsyscall clock rm shop", "vsyscall clock rm shop --force"],
	"wait-until": [
		"vsyscall clock wait-until shop '2027-02-01T00:00Z'",
		"vsyscall clock wait-until shop 2027-02-01Z && echo February",
	],
};

/** The arguments that begin like options, "-1h30m", go to where they are meant. */
const verb = (parent: Command, words: string, description: string): Command =>
	addExamples(parent.command(words).description(description).allowUnknownOption(), EXAMPLES[words.split(" ")[0] ?? ""]);

/** Adds `clock` and its verbs, which inherit the settings of `program`. */
export const addClockCommand = (program: Command): void => {
	const command = program.command("clock").description("make, steer and look at clocks that many programs share");
	addExamples(command, [
		"vsyscall clock create shop '@2027-01-31T23:59:00Z'",
		"vsyscall run --clock shop -- redis-server &",
		"vsyscall clock advance shop 30d",
	]);
	verb(command, "create <name> [spec]", "make a clock: the host's, or as the spec says").action(
		async (name: string, spec?: string) => {
			const clock = createClock(name, spec);
			writeOut(`${clock.now().toString()}\n`);
			clock.close();
		},
	);
	verb(command, "set <name> <spec>", "make it what a clock spec says, as of now").action((name: string, spec: string) =>
		change(name, (clock) => clock.set(spec)),
	);
	verb(command, "advance <name> <duration>", "move it forward, by the calendar: 30d, 1h30m, P1M").action(
		(name: string, duration: string) => change(name, (clock) => clock.fastForward(duration)),
	);
	verb(command, "freeze <name>", "make it stand; timers and sleeps run on").action((name: string) =>
		change(name, (clock) => clock.freeze()),
	);
	verb(command, "resume <name>", "let it go on from where it stands").action((name: string) =>
		change(name, (clock) => clock.resume()),
	);
	verb(command, "rate <name> <rate>", "not yet: waits do not follow the clock").action((name: string, rate: string) =>
		withClock(name, () => {
			throw new VsyscallError(
				"ERR_VSYSCALL_CLOCK",
				`not yet: a rate (${rate}) moves sleeps and timeouts too, and waits do not follow the clock yet; vsyscall clock set ${name} 'drift=PPM' lets the wall clock alone run faster or slower`,
			);
		}),
	);
	verb(command, "reset <name>", "make it the host's clock again").action((name: string) =>
		change(name, (clock) => clock.reset()),
	);
	verb(command, "show <name>", "say what it shows")
		.option("--json", "as JSON")
		.action((name: string, output: Output) => withClock(name, (clock) => show(clock.state(), output)));
	verb(command, "list", "list the clocks of this user").option("--json", "as JSON").action(list);
	verb(command, "ps <name>", "list the processes that are on it, and those that could not be put on it")
		.option("--json", "as JSON")
		.action((name: string, output: Output) => withClock(name, (clock) => ps(clock, output)));
	verb(command, "rm <name>", "remove it")
		.option("--force", "even if processes are on it: they keep its time")
		.action((name: string, options: { force?: boolean }) => withClock(name, (clock) => remove(clock, options)));
	verb(command, "wait-until <name> <time>", "wait until it shows a time, whoever moves it").action(
		(name: string, time: string) => change(name, (clock) => clock.waitUntil(time)),
	);
};
