/** The clock of a spec as of now, on this machine: the host's time, a run around us, the local zone, the time of a followed file. */
import { statSync } from "node:fs";
import type { ClockAnchor, WallClock } from "../clock/clock.ts";
import { quoted } from "../clock/clock-spec-error.ts";
import { nestClock } from "../clock/nested.ts";
import { type ClockSpec, followedFile } from "../clock/spec.ts";
import { VsyscallError } from "../errors.ts";
import { hostRealtime } from "../linux/host-vdso.ts";
import { outerPage } from "../linux/outer-page.ts";
import { type Nanoseconds, nanoseconds } from "../units.ts";
import { readClock } from "../vvar/page.ts";
import { checkPage } from "../vvar/check.ts";

const mtimeOf = (path: string): Nanoseconds => {
	try {
		return nanoseconds(statSync(path, { bigint: true }).mtimeNs);
	} catch (cause) {
		const reason = cause instanceof Error ? cause.message : String(cause);
		throw new VsyscallError("ERR_VSYSCALL_CLOCK", `the clock cannot follow ${quoted(path)}: ${reason}`, { cause });
	}
};

/** The clock of the run that this program is a process of; the host's outside of one. */
const outerClock = (): WallClock => {
	const page = outerPage();
	if (page === undefined) return { kind: "host" };
	checkPage(page);
	return readClock(page);
};

/**
 * Inside of a run, "now" is the time of that run.
 *
 * @param realtime the host's CLOCK_REALTIME at the anchor. @default now
 * @throws {ClockSpecError} ERR_VSYSCALL_CLOCK_SPEC when the clock would be outside the calendar, or the local zone is unknown.
 * @throws {VsyscallError} ERR_VSYSCALL_CLOCK when the file that the spec follows cannot be looked at.
 */
export const anchorNow = (spec: ClockSpec, realtime: Nanoseconds = hostRealtime()): WallClock => {
	const followed = followedFile(spec);
	const anchor: ClockAnchor = {
		realtime,
		get zone() {
			return Intl.DateTimeFormat().resolvedOptions().timeZone;
		},
		...(followed === undefined ? {} : { mtime: mtimeOf(followed) }),
	};
	return nestClock(spec, outerClock(), anchor);
};
