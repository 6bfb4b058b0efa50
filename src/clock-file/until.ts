/** Waiting for a clock that anybody may move: for the moment that it shows now, and again after every change. */
import { hostRealtime } from "../linux/host-vdso.ts";
import { wallTime } from "../clock/clock.ts";
import type { Nanoseconds } from "../units.ts";
import type { ClockFile } from "./clock-file.ts";

const MILLISECOND = 1_000_000n;
/** setTimeout takes 31 bits; and a change may come without word of it, when its maker was killed right after it. */
const LONGEST_WAIT_MS = 500;

/** Resolves when the clock shows `time` or more. @throws the reason of `signal` when that is aborted first */
export const untilWall = (file: ClockFile, time: Nanoseconds, signal?: AbortSignal): Promise<void> =>
	new Promise((resolve, reject) => {
		let timer: NodeJS.Timeout | undefined;
		const stopWatching = file.onChange(look);
		signal?.addEventListener("abort", abort);
		look();

		function finish(): void {
			clearTimeout(timer);
			stopWatching();
			signal?.removeEventListener("abort", abort);
		}

		function abort(): void {
			finish();
			reject(signal?.reason instanceof Error ? signal.reason : new Error("aborted"));
		}

		function look(): void {
			clearTimeout(timer);
			if (signal?.aborted === true) return abort();
			const left = time - wallTime(file.clock, hostRealtime());
			if (left <= 0n) {
				finish();
				return resolve();
			}
			timer = setTimeout(look, Math.min(Number(left / MILLISECOND) + 1, LONGEST_WAIT_MS));
		}
	});
