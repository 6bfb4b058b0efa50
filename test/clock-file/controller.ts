/** A process that changes a clock again and again: `NAME COUNT` adds 1 ns COUNT times, `NAME forever` alternates two kinds. */
import { ClockFile } from "../../src/clock-file/clock-file.ts";
import type { WallClock } from "../../src/clock/clock.ts";
import { nanoseconds } from "../../src/units.ts";

const [name = "", count = ""] = process.argv.slice(2);
const clock = ClockFile.open(name);

const increment = (before: WallClock): WallClock => {
	if (before.kind !== "offset") throw new Error(`The clock is ${before.kind}`);
	return { kind: "offset", offset: nanoseconds(before.offset + 1n) };
};

if (count === "forever") {
	// What has not been sent when the loop begins never is.
	await new Promise((resolve) => process.send?.("ready", resolve));
	for (let index = 1n; ; index++) {
		const far = index * 1_000_000_007n;
		clock.change(() =>
			index % 2n === 0n
				? { kind: "frozen", at: nanoseconds(far * 7n) }
				: { kind: "offset", offset: nanoseconds(far * 11n * 2n ** 30n) },
		);
	}
} else {
	for (let index = 0; index < Number(count); index++) clock.change(increment);
	clock.close();
}
