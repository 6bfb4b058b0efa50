/** The kernel's vvar pages with the times that tell where the clocks stand in them, for inspect/vvar-report.ts. */
import { ownPid } from "./own-pid.ts";
import type { VvarPages } from "../inspect/vvar-report.ts";
import { joinNanoseconds, type Nanoseconds, nanoseconds, splitNanoseconds } from "../units.ts";
import type { Time } from "../vdso/host-layout.ts";
import * as linux from "./constants.ts";
import { readClock } from "./host-clocks.ts";
import { mappingsOf } from "./maps.ts";
import { readTimeNamespace } from "./time-namespace.ts";
import { VvarSnapshots } from "./vvar-snapshot.ts";

const PAGE_SIZE = 4096n;

const minus = (time: Time, offset: Nanoseconds): Time => {
	const rest = splitNanoseconds(nanoseconds(joinNanoseconds(...time) - offset));
	return [rest.seconds, rest.nanoseconds];
};

/** @returns undefined when this process has no `[vvar]` */
export const readVvarPages = (): VvarPages | undefined => {
	const mapping = mappingsOf(ownPid()).find(({ name }) => name === "[vvar]");
	if (mapping === undefined) return undefined;
	const offset = readTimeNamespace("self")?.monotonic ?? nanoseconds(0n);
	const snapshots = new VvarSnapshots();
	try {
		const coarse = {
			realtime: readClock(linux.CLOCK_REALTIME_COARSE),
			monotonic: minus(readClock(linux.CLOCK_MONOTONIC_COARSE), offset),
		};
		const pages: (Uint8Array | undefined)[] = [];
		for (let page = mapping.start; page < mapping.end; page += PAGE_SIZE) pages.push(snapshots.take(page));
		const monotonic = nanoseconds(joinNanoseconds(...readClock(linux.CLOCK_MONOTONIC)) - offset);
		return { pages, coarse, monotonic };
	} finally {
		snapshots.close();
	}
};
