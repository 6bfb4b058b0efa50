/** The clock of a `%FILE` spec: anchored anew whenever the file's time of last modification changes. */
import { statSync } from "node:fs";
import type { WallClock } from "../clock/clock.ts";
import type { ClockCourse } from "./clock-course.ts";
import { watchFile } from "./file-watch.ts";

const mtimeOf = (path: string): bigint | undefined => statSync(path, { bigint: true, throwIfNoEntry: false })?.mtimeNs;

/**
 * While the file is missing the clock goes on as it is.
 *
 * @param anchor the clock as of now; throws when the file cannot be looked at
 */
export const follow = (path: string, anchor: () => WallClock): ClockCourse => {
	let known = mtimeOf(path);
	return {
		clock: anchor(),
		source: (clock) => {
			const look = (): void => {
				const found = mtimeOf(path);
				if (found === undefined || found === known) return;
				known = found;
				try {
					clock.set(anchor());
				} catch {
					// Gone again, or a time outside of the calendar: the next change tells.
				}
			};
			const end = watchFile(path, look);
			look();
			return end;
		},
	};
};
