/** A process that changes a clock at random, without end, and notes each change in a log: `NAME LOG`. */
import { openSync, writeSync } from "node:fs";
import { ClockFile } from "../../src/clock-file/clock-file.ts";
import type { WallClock } from "../../src/clock/clock.ts";
import { parseDuration } from "../../src/clock/duration-grammar.ts";
import { advance, freeze, resume, setDrift, setWall } from "../../src/clock/steering.ts";
import { hostRealtime } from "../../src/linux/host-vdso.ts";
import { type Nanoseconds, nanoseconds } from "../../src/units.ts";
import { clockText, type Note } from "./history.ts";

const [name = "", path = ""] = process.argv.slice(2);
const clock = ClockFile.open(name);
const log = openSync(path, "a", 0o600);

const note = (line: Note): void => {
	writeSync(log, `${JSON.stringify(line)}\n`);
};

const random = (limit: number): number => Math.floor(Math.random() * limit);
const YEAR = 31_556_952n * 1_000_000_000n;
/** Up to so many years ahead or behind, to the nanosecond. */
const somewhere = (years: number): bigint =>
	(BigInt(random(2 * years * 1_000_000) - years * 1_000_000) * YEAR) / 999_983n;

type Change = (clock: WallClock, host: Nanoseconds) => WallClock;

/** Near and far (beyond what the wall word holds), ticking and standing; the relative ones depend on what they find. */
const CHANGES: readonly Change[] = [
	() => ({ kind: "host" }),
	() => ({ kind: "offset", offset: nanoseconds(somewhere(250)) }),
	() => ({ kind: "offset", offset: nanoseconds(somewhere(1500)) }),
	() => ({ kind: "frozen", at: nanoseconds(somewhere(250)) }),
	(before, host) => setWall(before, nanoseconds(host + somewhere(1500)), host),
	(before, host) => advance(before, parseDuration(`${random(40)}d${random(3600)}s${random(1000)}ns`), host),
	freeze,
	resume,
	resume,
	(before, host) => setDrift(resume(before, host), BigInt(random(2 ** 30) - 2 ** 29), host),
	(before, host) => setDrift(resume(before, host), BigInt(random(2 ** 30) - 2 ** 29), host),
];

const pause = new Int32Array(new SharedArrayBuffer(4));

for (let index = 0; ; index++) {
	const id = `${process.pid}.${index}`;
	const change = CHANGES[random(CHANGES.length)] ?? resume;
	clock.change((before, host) => {
		const after = change(before, host);
		note({ id, at: String(hostRealtime()), before: clockText(before), after: clockText(after) });
		return after;
	});
	note({ id, done: String(hostRealtime()) });
	Atomics.wait(pause, 0, 0, random(10));
}
