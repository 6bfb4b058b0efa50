/** Servers under a clock, asked from outside: Redis and PostgreSQL, which refuses to run as root. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { findTool, has, isRoot } from "../helpers/requirements.ts";
import {
	assertNothingLeft,
	native,
	type RunSettings,
	type Started,
	startCommand,
	startVsyscall,
	vsyscall,
} from "../helpers/vsyscall.ts";
import {
	assertReadings,
	bracketOf,
	type ClockCase,
	cleanOutput,
	hostClock,
	parseTime,
	PROGRAM_CLOCKS,
	readHostTimes,
	shapeOf,
	yearsAhead,
} from "./programs-clocks.ts";

/** A server that this process has started, and how to talk to it. */
interface Server {
	readonly command: readonly string[];
	readonly settings?: RunSettings;
	readonly isReady: () => Promise<boolean>;
	/** @returns each reading with the number of digits of its fraction */
	readonly readings: () => Promise<readonly (readonly [text: string, digits: number])[]>;
	readonly stop: () => Promise<void>;
}

const waitUntilReady = async (server: Server, started: Started): Promise<void> => {
	let ended: unknown;
	const watch = async (): Promise<void> => {
		ended = await started.finished;
	};
	void watch().catch((error: unknown) => (ended = error));
	const deadline = process.hrtime.bigint() + 60_000_000_000n;
	while (!(await server.isReady())) {
		assert.equal(ended, undefined, `the server ended: ${JSON.stringify(ended)}`);
		assert.ok(process.hrtime.bigint() < deadline, "the server is not ready after a minute");
		await sleep(20);
	}
};

/** Starts the server, asks it twice, stops it. @returns what it answered */
const serve = async (
	server: Server,
	clock: ClockCase,
	start: (command: readonly string[], settings?: RunSettings) => Started,
): Promise<string> => {
	const beforeStart = readHostTimes();
	const started = start(server.command, server.settings);
	const answers: string[] = [];
	try {
		await waitUntilReady(server, started);
		const whenReady = readHostTimes();
		for (let round = 0; round < 2; round++) {
			const beforeRead = readHostTimes();
			const texts = await server.readings();
			const bracket = bracketOf(beforeRead, readHostTimes(), { before: beforeStart, after: whenReady });
			const readings = texts.map(([text, digits]) => ({ clock: "realtime", text, span: parseTime(text, digits) }));
			assertReadings(readings, clock, bracket);
			answers.push(...texts.map(([text]) => text));
			await sleep(30);
		}
	} finally {
		await server.stop();
	}
	cleanOutput(await started.finished);
	await assertNothingLeft(started.mark);
	return answers.join("\n");
};

const underClock =
	(clock: ClockCase, prefix: readonly string[] = []) =>
	(command: readonly string[], settings?: RunSettings): Started =>
		startVsyscall(["run", "--clock", clock.spec, "--", ...prefix, ...command], settings);

const natively = ([file = "", ...args]: readonly string[], settings?: RunSettings): Started =>
	startCommand(file, args, settings);

const tool = (name: string): string => findTool(name) ?? name;

/** Temporary directories, short enough for the path of a unix socket. */
const directories: string[] = [];
const temporaryDirectory = (): string => {
	const directory = mkdtempSync("/tmp/vsyscall-e2e-");
	directories.push(directory);
	return directory;
};
after(() => {
	for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

const redis = (): Server => {
	const directory = temporaryDirectory();
	const socket = join(directory, "redis.sock");
	const ask = async (...words: readonly string[]): Promise<string> =>
		(await native([tool("redis-cli"), "-s", socket, ...words])).stdout.trim();
	return {
		command: [
			tool("redis-server"),
			"--port",
			"0",
			"--unixsocket",
			socket,
			"--dir",
			directory,
			"--save",
			"",
			"--appendonly",
			"no",
			"--daemonize",
			"no",
		],
		isReady: async () => existsSync(socket) && (await ask("PING")) === "PONG",
		readings: async () => {
			const [seconds = "", microseconds = ""] = (await ask("TIME")).split("\n");
			return [[`${seconds}.${microseconds.padStart(6, "0")}`, 6]];
		},
		stop: async () => {
			await ask("SHUTDOWN", "NOSAVE");
		},
	};
};

for (const clock of PROGRAM_CLOCKS) {
	test(`Redis shows the time of ${clock.spec}`, { timeout: 120_000 }, async (t) => {
		if (!has(t, "redis-server", "redis-cli")) return;
		await serve(redis(), clock, underClock(clock));
	});
}

test("Redis shows under the host's clock what it shows natively", { timeout: 120_000 }, async (t) => {
	if (!has(t, "redis-server", "redis-cli")) return;
	const expected = await serve(redis(), hostClock, natively);
	assert.equal(shapeOf(await serve(redis(), hostClock, underClock(hostClock))), shapeOf(expected));
});

/** PostgreSQL's user: another one when the tests run as root. */
const user = ((): { readonly uid?: number; readonly gid?: number } => {
	if (process.getuid?.() !== 0) return {};
	const accounts = readFileSync("/etc/passwd", "utf8").split("\n");
	const find = (name: string): string | undefined => accounts.find((line) => line.startsWith(`${name}:`));
	const [, , uid, gid] = (find("postgres") ?? find("nobody") ?? "").split(":");
	return { uid: Number(uid), gid: Number(gid) };
})();
const asUser: RunSettings =
	user.uid === undefined || user.gid === undefined ? {} : { uid: user.uid, gid: user.gid, cwd: "/" };

const userDirectory = (): string => {
	const directory = temporaryDirectory();
	if (user.uid !== undefined && user.gid !== undefined) chownSync(directory, user.uid, user.gid);
	chmodSync(directory, 0o700);
	return directory;
};

const initdb = (data: string): readonly string[] => [
	tool("initdb"),
	"-D",
	data,
	"-A",
	"trust",
	"-U",
	"vsyscall",
	"-E",
	"UTF8",
	"--no-locale",
	"--no-sync",
];

/** A cluster that all servers use in turn. */
let cluster = "";
before(async () => {
	if (findTool("initdb") === undefined) return;
	cluster = join(userDirectory(), "data");
	cleanOutput(await native(initdb(cluster), asUser));
});

const postgres = (data: string): Server => {
	const directory = userDirectory();
	const pidFile = (): readonly string[] => {
		try {
			return readFileSync(join(data, "postmaster.pid"), "utf8").split("\n");
		} catch {
			return [];
		}
	};
	const ask = async (sql: string): Promise<string> => {
		const psql = [tool("psql"), "-X", "-A", "-t", "-h", directory, "-U", "vsyscall", "-d", "postgres", "-c", sql];
		return cleanOutput(await native(psql, asUser)).trim();
	};
	return {
		command: [
			tool("postgres"),
			"-D",
			data,
			"-k",
			directory,
			"-c",
			"listen_addresses=",
			"-c",
			"fsync=off",
			"-c",
			"TimeZone=UTC",
			"-c",
			"log_min_messages=fatal",
		],
		isReady: async () => Promise.resolve(pidFile()[7]?.trim() === "ready"),
		readings: async () => [
			[await ask("select now()"), 6],
			[await ask("select clock_timestamp()"), 6],
			[await ask("select extract(epoch from clock_timestamp())"), 6],
		],
		stop: async () => {
			const pid = Number(pidFile()[0] ?? 0);
			// Not SIGINT: a session that its client has just left would say that it was terminated.
			if (pid > 0) process.kill(pid, "SIGTERM");
			await Promise.resolve();
		},
	};
};

const hasPostgres = (t: TestContext): boolean => has(t, "initdb", "postgres", "psql");

for (const clock of PROGRAM_CLOCKS) {
	test(`PostgreSQL shows the time of ${clock.spec}, user and supervisor alike`, { timeout: 120_000 }, async (t) => {
		if (!hasPostgres(t)) return;
		await serve({ ...postgres(cluster), settings: asUser }, clock, underClock(clock));
	});

	test(`PostgreSQL shows the time of ${clock.spec} when a root supervisor's program drops to a user`, {
		timeout: 120_000,
	}, async (t) => {
		if (!hasPostgres(t) || !has(t, "setpriv") || !isRoot(t)) return;
		const drop = [tool("setpriv"), `--reuid=${user.uid}`, `--regid=${user.gid}`, "--clear-groups"];
		await serve({ ...postgres(cluster), settings: { cwd: "/" } }, clock, underClock(clock, drop));
	});
}

test("PostgreSQL shows under the host's clock what it shows natively", { timeout: 120_000 }, async (t) => {
	if (!hasPostgres(t)) return;
	const expected = await serve({ ...postgres(cluster), settings: asUser }, hostClock, natively);
	const shown = await serve({ ...postgres(cluster), settings: asUser }, hostClock, underClock(hostClock));
	assert.equal(shapeOf(shown), shapeOf(expected));
});

test("initdb, with all its processes, makes a cluster of the clock's time", { timeout: 120_000 }, async (t) => {
	if (!hasPostgres(t) || !has(t, "pg_controldata")) return;
	const data = join(userDirectory(), "data");
	const clock = yearsAhead(10);
	const beforeRun = readHostTimes();
	cleanOutput(await vsyscall(["run", "--clock", clock.spec, "--", ...initdb(data)], asUser));
	const bracket = bracketOf(beforeRun, readHostTimes());
	const control = cleanOutput(await native([tool("pg_controldata"), data], asUser));
	const written = /last modified: +(.*)/.exec(control)?.[1] ?? "";
	// The host's date(1) knows the format of strftime's %c.
	const seconds = execFileSync("date", ["-u", "-d", written, "+%s"], {
		encoding: "utf8",
		env: { ...process.env, TZ: "UTC" },
	});
	const reading = { clock: "coarse", text: seconds.trim(), span: parseTime(seconds.trim()) };
	assertReadings([reading], clock, bracket);
});
