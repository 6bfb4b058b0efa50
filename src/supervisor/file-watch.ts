/** Word of what happens to a file that may be written, touched, replaced, removed and made again. */
import { realpathSync, watch } from "node:fs";
import { basename, dirname } from "node:path";

/** Where a directory cannot be watched: it does not exist yet, or the user has no inotify instance left. */
const LOOK_MS = 500;

/** The name, and where its links lead to now. */
const namesOf = (path: string): ReadonlySet<string> => {
	try {
		return new Set([path, realpathSync(path)]);
	} catch {
		return new Set([path]);
	}
};

const watchName = (path: string, look: () => void): (() => void) => {
	try {
		// The directory, not the file: it may be replaced by another of its name.
		const watcher = watch(dirname(path), { persistent: false }, (_, name) => {
			if (name === basename(path)) look();
		});
		watcher.on("error", () => {});
		return () => watcher.close();
	} catch {
		const timer = setInterval(look, LOOK_MS).unref();
		return () => clearInterval(timer);
	}
};

/** Calls `look` soon after anything that may have changed the file. @returns a function that ends it */
export const watchFile = (path: string, look: () => void): (() => void) => {
	const ends = [...namesOf(path)].map((name) => watchName(name, look));
	return () => {
		for (const end of ends) end();
	};
};
