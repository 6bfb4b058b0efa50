/** The clock of a `%FILE` spec: anchored anew whenever the file's time of last modification changes. */
import { type FSWatcher, realpathSync, statSync, watch } from "node:fs";
import { basename, dirname } from "node:path";
import type { WallClock } from "../clock/clock.ts";

export interface FollowedFile {
	readonly path: string;
	/** The clock as of now. Throws when the file cannot be looked at. */
	readonly anchor: () => WallClock;
}

const mtimeOf = (path: string): bigint | undefined => statSync(path, { bigint: true, throwIfNoEntry: false })?.mtimeNs;

/**
 * Directories are watched, not the file: it may be replaced by another of its name. While it is missing the clock goes on as it is.
 *
 * @param changed given the new clock
 * @returns a function that ends it
 */
export const follow = ({ path, anchor }: FollowedFile, changed: (clock: WallClock) => void): (() => void) => {
	let known = mtimeOf(path);
	const look = (): void => {
		const found = mtimeOf(path);
		if (found === undefined || found === known) return;
		known = found;
		try {
			changed(anchor());
		} catch {
			// Gone again, or a time outside of the calendar: the next change tells.
		}
	};
	const watchers: FSWatcher[] = [];
	for (const file of new Set([path, realpathSync(path)])) {
		const watcher = watch(dirname(file), { persistent: false }, (_, name) => {
			if (name === basename(file)) look();
		});
		watcher.on("error", () => {});
		watchers.push(watcher);
	}
	return () => {
		for (const watcher of watchers) watcher.close();
	};
};
