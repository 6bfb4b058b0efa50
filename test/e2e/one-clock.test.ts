/** Six programs of as many kinds on one named clock, each started by its own `vsyscall run`. */
import assert from "node:assert/strict";
import { chmodSync, chownSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { build } from "../helpers/fixtures.ts";
import { findTool, has } from "../helpers/requirements.ts";
import { startTeller } from "../helpers/teller.ts";
import { assertNothingLeft, native, type RunSettings, startVsyscall, vsyscall } from "../helpers/vsyscall.ts";

// Short enough for the path of a unix socket.
const directory = mkdtempSync("/tmp/vsyscall-one-");
after(() => rmSync(directory, { recursive: true, force: true }));

const settings: RunSettings = { env: { VSYSCALL_RUNTIME_DIR: join(directory, "clocks") } };
const tool = (name: string): string => findTool(name) ?? name;

const clock = async (...words: readonly string[]): Promise<string> => {
	const { stdout, stderr, exitCode } = await vsyscall(["clock", ...words], settings);
	assert.deepEqual([stderr, exitCode], ["", 0]);
	return stdout.trimEnd();
};

const output = async (command: readonly string[], how: RunSettings = {}): Promise<string> => {
	const { stdout, stderr, exitCode } = await native(command, how);
	assert.deepEqual([stderr, exitCode], ["", 0], command.join(" "));
	return stdout.trim();
};

interface Program {
	/** Seconds since 1970. */
	readonly ask: () => Promise<number>;
	readonly end: () => Promise<unknown>;
}

const startServer = async (
	command: readonly string[],
	isReady: () => Promise<boolean>,
	{ ask, stop }: { readonly ask: () => Promise<string>; readonly stop: () => Promise<unknown> },
): Promise<Program> => {
	const started = startVsyscall(["run", "--clock", "shop", "--", ...command], { ...settings, cwd: "/" });
	while (!(await isReady())) await sleep(20);
	return {
		ask: async () => Number((await ask()).split("\n")[0]),
		end: async () => {
			await stop();
			const { stderr, exitCode } = await started.finished;
			assert.deepEqual([stderr, exitCode], ["", 0]);
			await assertNothingLeft(started.mark);
		},
	};
};

const redisSocket = join(directory, "redis.sock");
const redis = (...words: readonly string[]): Promise<string> =>
	output([tool("redis-cli"), "-s", redisSocket, ...words]);

const startRedis = (): Promise<Program> =>
	startServer(
		[tool("redis-server"), "--port", "0", "--unixsocket", redisSocket, "--dir", directory, "--save", ""],
		async () =>
			existsSync(redisSocket) && (await native([tool("redis-cli"), "-s", redisSocket, "PING"])).exitCode === 0,
		// It closes the connection instead of answering.
		{ ask: () => redis("TIME"), stop: () => native([tool("redis-cli"), "-s", redisSocket, "SHUTDOWN", "NOSAVE"]) },
	);

/** PostgreSQL refuses to run as root: then the program gives its privileges up, under a supervisor that keeps them. */
const drop = (): { readonly prefix: readonly string[]; readonly settings: RunSettings } => {
	if (process.getuid?.() !== 0) return { prefix: [], settings: {} };
	const accounts = readFileSync("/etc/passwd", "utf8").split("\n");
	const line = accounts.find((account) => account.startsWith("postgres:")) ?? "nobody:x:65534:65534";
	const [uid = 0, gid = 0] = line.split(":").slice(2, 4).map(Number);
	const prefix = [tool("setpriv"), `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups"];
	return { prefix, settings: { uid, gid, cwd: "/" } };
};

const startPostgres = async (): Promise<Program> => {
	const user = drop();
	const home = mkdtempSync("/tmp/vsyscall-one-");
	after(() => rmSync(home, { recursive: true, force: true }));
	if (user.settings.uid !== undefined && user.settings.gid !== undefined)
		chownSync(home, user.settings.uid, user.settings.gid);
	chmodSync(home, 0o700);
	const data = join(home, "data");
	const flags = ["-A", "trust", "-U", "vsyscall", "-E", "UTF8", "--no-locale", "--no-sync"];
	assert.equal((await native([tool("initdb"), "-D", data, ...flags], user.settings)).exitCode, 0);
	const pidFile = (): readonly string[] =>
		existsSync(join(data, "postmaster.pid")) ? readFileSync(join(data, "postmaster.pid"), "utf8").split("\n") : [];
	const psql = [tool("psql"), "-X", "-A", "-t", "-h", home, "-U", "vsyscall", "-d", "postgres", "-c"];
	const options = ["listen_addresses=", "fsync=off", "log_min_messages=fatal"].flatMap((option) => ["-c", option]);
	return startServer(
		[...user.prefix, tool("postgres"), "-D", data, "-k", home, ...options],
		async () => Promise.resolve(pidFile()[7]?.trim() === "ready"),
		{
			ask: () => output([...psql, "select floor(extract(epoch from now()))::bigint"], user.settings),
			// The shutdown that waits for clients: the last psql may not be gone.
			stop: async () => Promise.resolve(process.kill(Number(pidFile()[0]), "SIGTERM")),
		},
	);
};

const NODE = 'process.stdin.setEncoding("utf8").on("data", () => console.log(Math.floor(Date.now() / 1000)))';

const startTellers = (): readonly Program[] =>
	[
		[build("go", "tells-time.go")],
		[tool("java"), "-cp", build("java", "tells-time.java"), "TellsTime"],
		[process.execPath, "-e", NODE],
		["sh", "-c", "while read line; do date +%s; done"],
	].map((command) => startTeller("shop", command, settings));

const DAY = 86_400;
const START = Date.UTC(2027, 0, 31, 23, 59) / 1000;
/** What may pass on a machine that is busy, and is not a day. */
const SLACK = 300;

test("a database, a cache, services and a shell read the same day, whatever it is made", {
	timeout: 180_000,
}, async (t) => {
	if (!has(t, "redis-server", "redis-cli", "initdb", "postgres", "psql", "setpriv", "go", "javac", "java")) return;
	await clock("create", "shop", "@2027-01-31T23:59:00Z");
	const programs = [await startRedis(), await startPostgres(), ...startTellers()];
	const shown = (): Promise<number[]> => Promise.all(programs.map(({ ask }) => ask()));
	const assertAt = async (time: number, slack: number): Promise<void> => {
		for (const second of await shown()) assert.ok(second >= time && second <= time + slack, `${second}, not ${time}`);
	};
	const exists = async (key: string): Promise<boolean> => (await redis("EXISTS", key)) === "1";

	await assertAt(START, SLACK);
	await redis("SET", "short", "x", "PX", String(20 * DAY * 1000));
	await redis("SET", "long", "x", "PX", String(40 * DAY * 1000));
	await redis("SET", "until", "x");
	await redis("EXPIREAT", "until", String(START + 29 * DAY));
	assert.deepEqual(await Promise.all(["short", "long", "until"].map(exists)), [true, true, true]);

	await clock("advance", "shop", "30d");
	await assertAt(START + 30 * DAY, SLACK);
	assert.deepEqual(await Promise.all(["short", "long", "until"].map(exists)), [false, true, false]);

	const stands = Math.floor(Date.parse(await clock("freeze", "shop")) / 1000);
	assert.deepEqual(new Set(await shown()), new Set([stands]));
	await clock("set", "shop", "@2040-02-29T12:00:00Z frozen");
	assert.deepEqual(new Set(await shown()), new Set([Date.UTC(2040, 1, 29, 12) / 1000]));
	const listed = JSON.parse(await clock("ps", "shop", "--json")) as { covered: boolean }[];
	assert.ok(listed.length >= programs.length && listed.every(({ covered }) => covered));
	await clock("reset", "shop");
	await assertAt(Math.floor(Date.now() / 1000) - 1, SLACK);

	// One after the other: each looks for zombies of ours.
	for (const { end } of programs) await end();
	assert.equal(await clock("ps", "shop"), "");
	await clock("rm", "shop");
});
