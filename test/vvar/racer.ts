/** A side of a race for one page: `push FILE` alternates between two offsets without end, `read FILE COUNT` says what else it read. */
import { constants, openSync } from "node:fs";
import type { WallClock } from "../../src/clock/clock.ts";
import { mapShared } from "../../src/linux/memfd.ts";
import { nanoseconds } from "../../src/units.ts";
import { PAGE_SIZE } from "../../src/vvar/layout.ts";
import { readClock, VvarPage } from "../../src/vvar/page.ts";

const [side = "", path = "", count = "0"] = process.argv.slice(2);
const bytes = mapShared(openSync(path, constants.O_RDWR), 0, PAGE_SIZE);
/** They differ in every byte of the wall word. */
const OFFSETS = [4_886_736_005_154_821n, -323_000_313_947_331_579n];
const CLOCKS: readonly WallClock[] = OFFSETS.map((offset) => ({ kind: "offset", offset: nanoseconds(offset) }));

if (side === "push") {
	const page = new VvarPage(bytes, 0n);
	for (const clock of CLOCKS) page.push(clock);
	process.send?.("ready");
	// Until it is killed; the parent hears of it between the turns.
	const turn = (): void => {
		for (let index = 0; index < 200_000; index++) for (const clock of CLOCKS) page.push(clock);
		setImmediate(turn);
	};
	setImmediate(turn);
} else {
	const others = new Set<string>();
	for (let index = 0; index < Number(count); index++) {
		const clock = readClock(bytes);
		if (clock.kind !== "offset" || !OFFSETS.includes(clock.offset)) others.add(String(Object.values(clock)));
	}
	process.send?.([...others]);
}
