/** FAKE_UTIME: the times that programs give to files. The oracle is what the kernel says of the file, and the original. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { build, type Toolchain } from "../helpers/fixtures.ts";
import { has } from "../helpers/requirements.ts";
import { native, vsyscall } from "../helpers/vsyscall.ts";

const TIMEOUT = { timeout: 120_000 };
const directory = mkdtempSync(join(tmpdir(), "vsyscall-file-times-"));
after(() => rmSync(directory, { recursive: true, force: true }));
const FILE = join(directory, "file");

const DAY = 86_400n;
const SECOND = 1_000_000_000n;
const ACCESS = 1_900_000_000n;
const MODIFICATION = 1_950_000_000n;
/** What the file has before: 1000 and 2000 seconds. */
const OLD = [1000n * SECOND, 2000n * SECOND] as const;
const env = { HOME: directory, FAKE_UTIME: "1", NO_FAKE_STAT: "1" };

interface Times {
	readonly access: bigint;
	readonly modification: bigint;
	readonly stdout: string;
}

type Run = (program: string, way: string) => Promise<Times>;
const running =
	(start: (command: readonly string[]) => Promise<{ stdout: string }>): Run =>
	async (program, way) => {
		writeFileSync(FILE, "");
		utimesSync(FILE, 1000, 2000);
		const { stdout } = await start([program, FILE, way, String(ACCESS), String(MODIFICATION)]);
		const { atimeNs, mtimeNs } = statSync(FILE, { bigint: true });
		return { access: atimeNs, modification: mtimeNs, stdout };
	};
const ours = (timestamp: string, variables: Readonly<Record<string, string>> = env): Run =>
	running((command) => vsyscall(["faketime", "-f", timestamp, ...command], { env: variables }));
const theirs = (timestamp: string): Run =>
	running((command) => native(["faketime", "-f", timestamp, ...command], { env }));
const alone: Run = running((command) => native(command));

const OF_THE_ORIGINAL = ["utime", "utimes", "utimensat", "futimens", "omit"] as const;
/** The original does not know the other two. */
const WAYS = [...OF_THE_ORIGINAL, "futimes", "futimesat"] as const;
const RAW = ["raw-utime", "raw-utimes", "raw-futimesat", "raw-utimensat"] as const;

suite("a time that is given to a file is one of the run's clock", () => {
	for (const way of OF_THE_ORIGINAL) {
		test(`${way}: as in the original`, TIMEOUT, async (t) => {
			if (!has(t, "faketime", "gcc")) return;
			const program = build("glibc", "sets-file-times.c");
			const expected = await theirs("+10d")(program, way);
			assert.deepEqual(await ours("+10d")(program, way), expected);
			const real = await alone(program, way);
			assert.equal(real.modification - expected.modification, 10n * DAY * SECOND);
		});
	}

	const toolchains: readonly Toolchain[] = ["glibc-static", "musl-static", "glibc-32", "glibc-32-time64"];
	for (const toolchain of toolchains) {
		test(`by a program of ${toolchain}, in every way`, TIMEOUT, async (t) => {
			if (!has(t, "gcc", "musl-gcc")) return;
			const program = build(toolchain, "sets-file-times.c");
			for (const way of [...WAYS, ...RAW]) {
				const real = await alone(program, way);
				const shifted = await ours("-10d")(program, way);
				const length = 10n * DAY * SECOND;
				assert.deepEqual(
					[shifted.access, shifted.modification, shifted.stdout],
					[way === "omit" ? OLD[0] : real.access + length, real.modification + length, ""],
					way,
				);
			}
		});
	}

	test("of a clock that began at a date, and of one that stands", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const program = build("glibc", "sets-file-times.c");
		// 2031-10-17T10:40:00Z is 1950000000 seconds after 1970.
		for (const timestamp of ["@2031-10-17 10:40:00", "2031-10-17 10:40:00"]) {
			const begin = BigInt(Date.now()) * 1_000_000n;
			const { modification } = await ours(timestamp, { ...env, TZ: "UTC" })(program, "utimes");
			const late = modification - begin - SECOND / 2n;
			assert.ok(late > -SECOND && late < 60n * SECOND, `${timestamp}: ${late}`);
		}
	});
});

suite("what names no time", () => {
	for (const way of ["now", "null", "utime-null"]) {
		test(`${way}: now is the real time`, TIMEOUT, async (t) => {
			if (!has(t, "gcc")) return;
			const begin = BigInt(Date.now() - 1000) * 1_000_000n;
			const { access, modification } = await ours("+10d")(build("glibc", "sets-file-times.c"), way);
			const end = BigInt(Date.now() + 1000) * 1_000_000n;
			assert.ok(modification >= begin && modification <= end, String(modification));
			if (way === "now") assert.equal(access, (ACCESS - 10n * DAY) * SECOND + SECOND / 4n);
		});
	}

	for (const [way, stdout] of [
		["bad", "failed 22\n"],
		["fault", "failed 14\n"],
	] as const) {
		test(`${way}: the kernel refuses it, and the file stays as it is`, TIMEOUT, async (t) => {
			if (!has(t, "gcc")) return;
			assert.deepEqual(await ours("+10d")(build("glibc", "sets-file-times.c"), way), {
				access: OLD[0],
				modification: OLD[1],
				stdout,
			});
		});
	}
});

suite("the variable", () => {
	const values: readonly (readonly [value: string, isOn: boolean])[] = [
		["1", true],
		["0", false],
		["no", false],
		["", true],
		["yes", true],
		["True", true],
		["2", true],
	];
	for (const [value, isOn] of values) {
		test(`FAKE_UTIME="${value}" is ${isOn ? "on" : "off"}, as in the original`, TIMEOUT, async (t) => {
			if (!has(t, "faketime", "gcc")) return;
			const program = build("glibc", "sets-file-times.c");
			const variables = { ...env, FAKE_UTIME: value };
			const start = (command: readonly string[]): ReturnType<typeof native> =>
				native(["faketime", "-f", "+10d", ...command], { env: variables });
			const expected = await running(start)(program, "utime");
			assert.equal(expected.access === (ACCESS - 10n * DAY) * SECOND, isOn);
			assert.deepEqual(await ours("+10d", variables)(program, "utime"), expected);
		});
	}

	test("says that the times of files are read as they are, unless NO_FAKE_STAT does", TIMEOUT, async () => {
		const command = ["faketime", "-f", "+10d", "true"];
		assert.equal((await vsyscall(command, { env })).stderr, "");
		const { stderr } = await vsyscall(command, { env: { HOME: directory, FAKE_UTIME: "1" } });
		assert.match(stderr, /^vsyscall: FAKE_UTIME: files get real times.*\n$/);
	});

	test("programs that are not faked set times as they are", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const program = build("glibc", "sets-file-times.c");
		const variables = { ...env, FAKETIME_ONLY_CMDS: "other" };
		assert.deepEqual(await ours("+10d", variables)(program, "utimes"), await alone(program, "utimes"));
	});
});
