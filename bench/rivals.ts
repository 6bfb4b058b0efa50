/**
 * The same work on the host's clock, under `vsyscall` and under libfaketime (Debian's package `faketime`), in turn in one run.
 * What is not installed is left out.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { findTool } from "../test/helpers/requirements.ts";
import { build, median, output, under } from "./tools.ts";

const WAYS = ["host", "vsyscall", "libfaketime"] as const;
type Way = (typeof WAYS)[number];

export interface Rivalry {
	readonly what: string;
	readonly unit: string;
	readonly medians: Readonly<Partial<Record<Way, number>>>;
	/** Medians of the ratios to the host, round by round. */
	readonly toHost: Readonly<Partial<Record<Way, number>>>;
	/** Why a way has no figure. */
	readonly without: Readonly<Partial<Record<Way, string>>>;
}

const through = (way: Way, command: readonly string[]): readonly string[] => {
	switch (way) {
		case "host":
			return command;
		case "vsyscall":
			return under("+10y", ...command);
		case "libfaketime":
			return ["faketime", "-f", "+3650d", ...command];
	}
};

type Round = Readonly<Partial<Record<Way, number>>>;

const summarize = (what: string, unit: string, rounds: readonly Round[], without: Rivalry["without"]): Rivalry => {
	const ways = WAYS.filter((way) => rounds.some((round) => round[way] !== undefined));
	const figure = (of: (round: Round, way: Way) => number): Rivalry["medians"] =>
		Object.fromEntries(ways.map((way) => [way, median(rounds.map((round) => of(round, way)))]));
	return {
		what,
		unit,
		medians: figure((round, way) => round[way] ?? Number.NaN),
		toHost: figure((round, way) => (round[way] ?? Number.NaN) / (round.host ?? Number.NaN)),
		without,
	};
};

const ROUNDS = 9;

/** A command that measures itself, and what it prints -> the figure. */
const compare = (what: string, unit: string, command: readonly string[], figure: (text: string) => number): Rivalry => {
	const rounds = Array.from({ length: ROUNDS }, () =>
		Object.fromEntries(WAYS.map((way) => [way, figure(output(through(way, command)))])),
	);
	return summarize(what, unit, rounds, {});
};

const perLoop = (text: string): number => Number(/^Per loop time including overhead: ([\d.]+) ns/m.exec(text)?.[1]);

const REQUESTS = 30_000;
const REDIS_ROUNDS = 5;
const READY_SECONDS = 10;

interface Server {
	readonly child: ChildProcess;
	readonly socket: string;
}

const answers = (socket: string): boolean =>
	spawnSync("redis-cli", ["-s", socket, "PING"], { encoding: "utf8", timeout: 2000 }).stdout === "PONG\n";

const startRedis = async (way: Way, directory: string): Promise<Server | undefined> => {
	const socket = join(directory, `${way}.sock`);
	const options = ["--port", "0", "--unixsocket", socket, "--dir", directory, "--save", ""];
	const [file = "", ...args] = through(way, ["redis-server", ...options]);
	// A group of its own, so that a server which never answers is ended with what started it.
	const child = spawn(file, args, { stdio: "ignore", detached: true });
	for (let waited = 0; waited < READY_SECONDS * 10; waited++) {
		if (answers(socket)) return { child, socket };
		await sleep(100);
	}
	if (child.pid !== undefined && child.exitCode === null && child.signalCode === null)
		process.kill(-child.pid, "SIGKILL");
	return undefined;
};

const benchmark = (socket: string): number => {
	const csv = output(["redis-benchmark", "-s", socket, "-n", String(REQUESTS), "-c", "10", "--csv", "TIME"]);
	const perSecond = Number(/^"TIME","([\d.]+)"/m.exec(csv)?.[1]);
	return 1e6 / perSecond;
};

const measureRedis = async (): Promise<Rivalry> => {
	const directory = mkdtempSync(join(tmpdir(), "vsyscall-rivals-"));
	const servers = new Map<Way, Server>();
	const without: Partial<Record<Way, string>> = {};
	for (const way of WAYS) {
		const server = await startRedis(way, directory);
		if (server === undefined) without[way] = `redis-server did not answer within ${READY_SECONDS} s`;
		else servers.set(way, server);
	}
	const rounds = Array.from({ length: REDIS_ROUNDS }, () =>
		Object.fromEntries([...servers].map(([way, { socket }]) => [way, benchmark(socket)])),
	);
	for (const { child, socket } of servers.values()) {
		const end = new Promise((resolve) => child.once("exit", resolve));
		spawnSync("redis-cli", ["-s", socket, "SHUTDOWN", "NOSAVE"]);
		await end;
	}
	rmSync(directory, { recursive: true, force: true });
	return summarize("Redis TIME, a request of redis-benchmark", "us", rounds, without);
};

export const measureRivals = async (): Promise<readonly Rivalry[]> => {
	if (findTool("faketime") === undefined) return [];
	const results = [compare("clock_gettime REALTIME, a call", "cycles", [build("realtime.c", "realtime")], Number)];
	const timing = findTool("pg_test_timing");
	if (timing !== undefined) results.push(compare("pg_test_timing, a loop", "ns", [timing, "-d", "1"], perLoop));
	if (findTool("redis-server") !== undefined && findTool("redis-benchmark") !== undefined)
		results.push(await measureRedis());
	return results;
};
