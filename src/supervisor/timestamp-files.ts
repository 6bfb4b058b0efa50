/** The timestamp files of faketime: a line of text says what the clock is, and is looked at again whenever it may have changed. */
import { readFileSync, writeFileSync } from "node:fs";
import { quoted } from "../clock/clock-spec-error.ts";
import { faketimeError } from "../faketime/error.ts";
import { timestampIn } from "../faketime/variables.ts";
import type { ClockCourse, SteeredClock } from "./clock-course.ts";
import { watchFile } from "./file-watch.ts";

export interface TimestampFilesOptions {
	/** The first that exists counts. */
	readonly paths: readonly string[];
	/** The clock of a timestamp, as of now; of an empty one when there is no file. Throws when it is none. */
	readonly courseOf: (timestamp: string) => ClockCourse;
	readonly report: (message: string) => void;
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** What a file has, undefined when it does not exist. */
const contentOf = (path: string): string | undefined => {
	try {
		return readFileSync(path, "utf8");
	} catch (error) {
		const { code } = error as NodeJS.ErrnoException;
		if (code === "ENOENT" || code === "ENOTDIR") return undefined;
		throw faketimeError(`${quoted(path)} cannot be read (${code ?? String(error)})`, { cause: error });
	}
};

export class TimestampFiles {
	readonly #options: TimestampFilesOptions;
	/** The timestamp that the clock is at. */
	#known = "";
	#endSource: (() => void) | undefined;

	constructor(options: TimestampFilesOptions) {
		this.#options = options;
	}

	/** @throws {VsyscallError} ERR_VSYSCALL_FAKETIME when a file cannot be read, or what stands in it. */
	course(): ClockCourse {
		this.#known = this.#read() ?? "";
		const first = this.#options.courseOf(this.#known);
		return {
			clock: first.clock,
			source: (clock) => {
				this.#endSource = first.source?.(clock);
				const look = (): void => this.#look(clock);
				const ends = this.#options.paths.map((path) => watchFile(path, look));
				look();
				return () => {
					for (const end of ends) end();
					this.#endSource?.();
				};
			},
		};
	}

	/** Writes down what a program has made of the clock, so that it is found there and not set again. */
	write(path: string, timestamp: string): void {
		this.#known = timestamp;
		this.#endSource?.();
		this.#endSource = undefined;
		try {
			writeFileSync(path, `${timestamp}\n`);
		} catch (error) {
			this.#options.report(`the time that was set is not in the timestamp file: ${messageOf(error)}`);
		}
	}

	/** The timestamp; undefined when a file says nothing, as one does that is just being written. */
	#read(): string | undefined {
		for (const path of this.#options.paths) {
			const content = contentOf(path);
			if (content !== undefined) return timestampIn(content);
		}
		return "";
	}

	#look(steered: SteeredClock): void {
		try {
			const timestamp = this.#read();
			if (timestamp === undefined || timestamp === this.#known) return;
			this.#known = timestamp;
			const { clock, source } = this.#options.courseOf(timestamp);
			this.#endSource?.();
			steered.set(clock);
			this.#endSource = source?.(steered);
		} catch (error) {
			this.#options.report(`the clock stays as it is: ${messageOf(error)}`);
		}
	}
}
