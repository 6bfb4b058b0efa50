/**
 * The command line of faketime (its manual, release 0.9.10):
 *
 *     faketime [-m] [-p PID] [-f] [--exclude-monotonic] [--disable-shm] [--date-prog PATH] TIMESTAMP PROGRAM [ARGUMENT...]
 *
 * Options end at the first argument that is none. `--` in the place of the timestamp is ours: then the variables and files
 * of faketime give the time, as they do for programs that are started with its library and without its command.
 */
import { faketimeError } from "./error.ts";

export type FaketimeArguments =
	| { readonly kind: "help" }
	| { readonly kind: "version" }
	| {
			readonly kind: "run";
			/** undefined when the variables or files give it. */
			readonly timestamp: string | undefined;
			/** The timestamp is in the grammar of the variable FAKETIME, not in that of date(1). */
			readonly isAdvanced: boolean;
			/** The program that reads the other timestamps, as `date -d` does. */
			readonly dateProgram: string;
			readonly command: readonly string[];
			/** The process id that programs are to be told. */
			readonly pid: string | undefined;
			/** Options that change nothing here. */
			readonly withoutEffect: readonly string[];
	  };

const USAGE = "expected [OPTIONS] TIMESTAMP PROGRAM [ARGUMENT...], for example faketime -f '+30d' date";

/** These work around the mechanism of preloading, or ask for what is so anyway: the monotonic clocks stay the host's. */
const NEEDLESS = new Set(["-m", "--disable-shm"]);
const KEPT = new Set(["--exclude-monotonic"]);

const readOptions = (
	args: readonly string[],
): Omit<FaketimeArguments & { kind: "run" }, "kind" | "timestamp" | "command"> & { index: number } => {
	const options = {
		index: 0,
		isAdvanced: false,
		dateProgram: "date",
		pid: undefined as string | undefined,
		withoutEffect: [] as string[],
	};
	const valueOf = (option: string, what: string): string => {
		options.index++;
		const value = args[options.index];
		if (value === undefined) throw faketimeError(`${option} needs ${what}`);
		return value;
	};
	for (; options.index < args.length; options.index++) {
		const option = args[options.index] ?? "";
		if (option === "-f") options.isAdvanced = true;
		else if (option === "--date-prog") options.dateProgram = valueOf(option, "the path of a program");
		else if (option === "-p") options.pid = valueOf(option, "the id of a process");
		else if (NEEDLESS.has(option)) options.withoutEffect.push(option);
		else if (!KEPT.has(option)) break;
	}
	return options;
};

/** @throws {VsyscallError} ERR_VSYSCALL_FAKETIME when something is missing, unknown or not served. */
export const readFaketimeArguments = (args: readonly string[]): FaketimeArguments => {
	const { index, ...options } = readOptions(args);
	const first = args[index];
	if (first === "-h" || first === "--help") return { kind: "help" };
	if (first === "-v" || first === "--version") return { kind: "version" };
	if (first === undefined) throw faketimeError(`there is no timestamp: ${USAGE}`);
	// A timestamp may begin with a sign, but then a number follows.
	if (/^--?[a-z]/i.test(first)) throw faketimeError(`unknown option "${first}": ${USAGE}`);
	const timestamp = first === "--" ? undefined : first;
	const behind = args.slice(index + 1);
	const command = timestamp !== undefined && behind[0] === "--" ? behind.slice(1) : behind;
	if (command.length === 0) throw faketimeError(`there is no program: ${USAGE}`);
	return { kind: "run", timestamp, command, ...options };
};
