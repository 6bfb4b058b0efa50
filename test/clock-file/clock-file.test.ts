/** Named clocks in their files. The oracle for who wins is the exact sum of all changes. */
import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import {
	chmodSync,
	chownSync,
	mkdirSync,
	mkdtempSync,
	rmSync,
	symlinkSync,
	truncateSync,
	writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, beforeEach, suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { ClockFile } from "../../src/clock-file/clock-file.ts";
import { runtimeDirectory } from "../../src/clock-file/runtime-directory.ts";
import type { WallClock } from "../../src/clock/clock.ts";
import { VsyscallError } from "../../src/errors.ts";
import { hostRealtime } from "../../src/linux/host-vdso.ts";
import { nanoseconds } from "../../src/units.ts";
import { PAGE } from "../../src/vvar/layout.ts";
import { isRoot } from "../helpers/requirements.ts";

const base = mkdtempSync(join(tmpdir(), "vsyscall-clock-file-"));
after(() => rmSync(base, { recursive: true, force: true }));

let directory = "";
let count = 0;
beforeEach(() => {
	directory = join(base, String(count++));
	process.env["VSYSCALL_RUNTIME_DIR"] = directory;
});

const held: ClockFile[] = [];
afterEach(() => {
	for (const clock of held.splice(0)) clock.close();
});

/** A clock that is closed at the end of the test. */
const kept = (clock: ClockFile): ClockFile => {
	held.push(clock);
	return clock;
};

const offset = (value: bigint): WallClock => ({ kind: "offset", offset: nanoseconds(value) });
const frozen = (value: bigint): WallClock => ({ kind: "frozen", at: nanoseconds(value) });
const pathOf = (name: string): string => join(directory, `${name}.clock`);

const refused = (action: () => unknown, pattern: RegExp): void => {
	assert.throws(action, (error: unknown) => {
		assert.ok(error instanceof VsyscallError, String(error));
		assert.equal(error.code, "ERR_VSYSCALL_CLOCK");
		assert.match(error.message, pattern);
		return true;
	});
};

const make = (name: string, clock: WallClock): void => ClockFile.create(name, clock).close();

suite("a clock file", () => {
	test("shows to one process what another has made of it", () => {
		const clock = kept(ClockFile.create("shop", offset(5n)));
		const other = kept(ClockFile.open("shop"));
		assert.deepEqual(other.clock, offset(5n));
		other.change(() => frozen(123n));
		assert.deepEqual(clock.clock, frozen(123n));
		clock.change(() => ({ kind: "host" }));
		assert.deepEqual(other.clock, { kind: "host" });
	});

	test("that is made to stand does so at an instant that is still to come or just passed", () => {
		const clock = kept(ClockFile.create("shop", { kind: "host" }));
		const stands = clock.change((_, host) => ({ kind: "frozen", at: host }), 100_000n);
		assert.ok(stands.kind === "frozen" && stands.at > hostRealtime() - 5_000_000_000n);
	});

	test("keeps nothing when it is removed", () => {
		const clock = kept(ClockFile.create("shop", offset(5n)));
		clock.remove();
		clock.remove();
		assert.deepEqual(ClockFile.names(), []);
		refused(() => ClockFile.open("shop"), /no clock is called shop: vsyscall clock create shop makes one/);
	});

	test("is put back when it was cut off, once, and can be changed again", () => {
		const clock = kept(ClockFile.create("shop", offset(5n)));
		const other = kept(ClockFile.open("shop"));
		assert.equal(clock.mend(offset(5n)), undefined);
		truncateSync(pathOf("shop"), 0);
		refused(() => other.clock, /clock shop cannot be used: it has 0 bytes, a page has 4096/);
		refused(() => other.change(() => frozen(1n)), /it has 0 bytes/);
		assert.equal(clock.mend(frozen(123n)), "it has 0 bytes, a page has 4096");
		assert.equal(other.mend(offset(5n)), undefined);
		assert.deepEqual(other.clock, frozen(123n));
		other.change(() => frozen(7n));
		assert.deepEqual(clock.clock, frozen(7n));
		assert.deepEqual(kept(ClockFile.open("shop")).clock, frozen(7n));
	});

	test("tells its watchers of a change by anybody", async () => {
		const clock = kept(ClockFile.create("shop", offset(5n)));
		const other = kept(ClockFile.open("shop"));
		const changed = new Promise<void>((resolve) => {
			const stop = clock.onChange(() => {
				stop();
				resolve();
			});
		});
		other.change(() => offset(6n));
		const keepAlive = setTimeout(() => {}, 10_000);
		await changed;
		clearTimeout(keepAlive);
	});
});

suite("a name", () => {
	for (const name of [
		"",
		"a/b",
		"../x",
		".hidden",
		"-x",
		"x".repeat(65),
		"host",
		"frozen",
		"+30d",
		"2038-01-19",
		"a b",
		"ä",
	]) {
		test(`${JSON.stringify(name)} is none for a clock`, () => {
			refused(() => ClockFile.create(name, offset(1n)), /cannot be the name of a clock/);
		});
	}

	test("can be taken once", () => {
		make("shop", offset(1n));
		refused(() => ClockFile.create("shop", offset(2n)), /there is a clock called shop already/);
		const clock = kept(ClockFile.open("shop"));
		assert.deepEqual(clock.clock, offset(1n));
	});

	test("that is unknown is answered with those that are known", () => {
		make("shop", offset(1n));
		make("bank-2.x", offset(1n));
		refused(() => ClockFile.open("shpo"), /no clock is called shpo \(there is bank-2\.x, shop\)/);
	});
});

const overwrite = async (name: string, place: number, bytes: readonly number[]): Promise<void> => {
	const file = await open(pathOf(name), "r+");
	await file.write(new Uint8Array(bytes), 0, bytes.length, place);
	await file.close();
};

suite("a file that cannot be trusted is left as it is:", () => {
	test("truncated", () => {
		make("shop", offset(1n));
		truncateSync(pathOf("shop"), 100);
		refused(() => ClockFile.open("shop"), /clock shop cannot be used: it has 100 bytes, a page has 4096/);
	});

	test("overwritten", async () => {
		make("shop", offset(1n));
		await overwrite("shop", PAGE.magic, [1, 2, 3]);
		refused(() => ClockFile.open("shop"), /clock shop cannot be used: not a page of a clock/);
	});

	test("of another version", async () => {
		make("shop", offset(1n));
		await overwrite("shop", PAGE.version, [99]);
		refused(() => ClockFile.open("shop"), /clock shop cannot be used: a page of another version: 99/);
	});

	test("a directory, a symbolic link", () => {
		make("shop", offset(1n));
		mkdirSync(pathOf("folder"));
		refused(() => ClockFile.open("folder"), /clock folder cannot be used/);
		symlinkSync(pathOf("shop"), pathOf("link"));
		refused(() => ClockFile.open("link"), /clock link cannot be used/);
	});

	test("with a mode that lets others in", () => {
		make("shop", offset(1n));
		chmodSync(pathOf("shop"), 0o640);
		refused(() => ClockFile.open("shop"), /others may use it \(mode 640, expected 600\)/);
	});

	test("of another user", (t) => {
		if (!isRoot(t)) return;
		make("shop", offset(1n));
		chownSync(pathOf("shop"), 65534, 65534);
		refused(() => ClockFile.open("shop"), /clock shop cannot be used: it belongs to user 65534/);
	});

	test("made before the machine was started: it is removed", async () => {
		make("shop", offset(1n));
		make("bank", offset(1n));
		await overwrite("shop", PAGE.bootId, [1, 2, 3, 4]);
		await overwrite("bank", PAGE.bootId, [1, 2, 3, 4]);
		refused(() => ClockFile.open("bank"), /no clock is called bank/);
		make("new", offset(1n));
		assert.deepEqual(ClockFile.names(), ["new"]);
	});
});

suite("the directory of clocks", () => {
	test("is that of VSYSCALL_RUNTIME_DIR before all others", () => {
		assert.equal(runtimeDirectory({ VSYSCALL_RUNTIME_DIR: "/x", XDG_RUNTIME_DIR: base }), "/x");
		assert.equal(runtimeDirectory({ XDG_RUNTIME_DIR: base }), join(base, "vsyscall"));
	});

	test("of the environment is not taken when it is another user's", (t) => {
		if (!isRoot(t)) return;
		const theirs = join(base, "theirs");
		mkdirSync(theirs);
		chownSync(theirs, 65534, 65534);
		assert.notEqual(runtimeDirectory({ XDG_RUNTIME_DIR: theirs }), join(theirs, "vsyscall"));
	});

	test("is refused when others can enter it, when it is a file, when it is another user's", (t) => {
		mkdirSync(directory, { mode: 0o755 });
		refused(() => ClockFile.names(), /can be entered by others \(mode 755, expected 700\): set VSYSCALL_RUNTIME_DIR/);
		process.env["VSYSCALL_RUNTIME_DIR"] = join(base, "a-file");
		writeFileSync(join(base, "a-file"), "");
		refused(() => ClockFile.names(), /is not a directory/);
		if (!isRoot(t)) return;
		chmodSync(directory, 0o700);
		chownSync(directory, 65534, 65534);
		process.env["VSYSCALL_RUNTIME_DIR"] = directory;
		refused(() => ClockFile.names(), /belongs to user 65534/);
	});
});

const CONTROLLER = fileURLToPath(new URL("controller.js", import.meta.url));

const control = (...words: readonly string[]): ChildProcess => fork(CONTROLLER, words, { stdio: "inherit" });

const ended = (child: ChildProcess): Promise<number | null> =>
	new Promise((resolve) => child.on("exit", (code) => resolve(code)));

/** What the controller that goes on for ever makes of a clock. */
const isOne = ({ kind, ...rest }: WallClock): boolean => {
	if (kind === "frozen") return "at" in rest && rest.at % 7n === 0n;
	return kind === "offset" && "offset" in rest && rest.offset % 11n === 0n;
};

suite("controllers at once", () => {
	test("lose no change", { timeout: 60_000 }, async () => {
		// An offset of 0 is the host's clock.
		const clock = kept(ClockFile.create("shop", offset(1n)));
		const controllers = Array.from({ length: 4 }, () => control("shop", "500"));
		assert.deepEqual(await Promise.all(controllers.map(ended)), [0, 0, 0, 0]);
		assert.deepEqual(clock.clock, offset(2001n));
	});

	test("that are killed at any moment leave a whole clock and no lock", { timeout: 120_000 }, async () => {
		const clock = kept(ClockFile.create("shop", frozen(7n)));
		for (let round = 0; round < 40; round++) {
			const child = control("shop", "forever");
			await new Promise((resolve) => child.on("message", resolve));
			const until = performance.now() + Math.random() * 20;
			while (performance.now() < until)
				assert.ok(
					isOne(clock.clock),
					JSON.stringify(clock.clock, (_, v) => String(v)),
				);
			child.kill("SIGKILL");
			await ended(child);
			assert.ok(isOne(clock.clock));
			clock.change((before) => before);
		}
	});
});
