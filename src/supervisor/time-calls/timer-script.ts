/** Arms the POSIX timers of a process anew, by calls on its behalf. */
import { hostRealtime } from "../../linux/host-vdso.ts";
import { readMemory, writeMemory } from "../../linux/remote-memory.ts";
import type { WallClock } from "../../clock/clock.ts";
import { TIMER_ABSTIME } from "../../syscalls/time-calls.ts";
import { deadlineItimerspecBytes, readTime, timeOf, timespecSize } from "../../syscalls/time-structures.ts";
import { isAsArmed, nextExpiration } from "./armed-timer.ts";
import type { Deadlines } from "./deadlines.ts";
import type { RemoteScript } from "../remote-call.ts";
import type { PosixTimers } from "./timers.ts";

const VALUE = timespecSize("64");

/** @param scratch 32 bytes of writable memory that nobody uses */
export function* rearmPosixTimers(
	tid: number,
	scratch: bigint,
	{ timers, deadlines, before }: { timers: PosixTimers; deadlines: Deadlines; before: WallClock },
): RemoteScript<void> {
	for (const [id, { clock, armed }] of timers) {
		if (armed === undefined) continue;
		const bytes = new Uint8Array(2 * VALUE);
		const from = hostRealtime();
		const found = yield { name: "timer_gettime", args: [BigInt(id), scratch] };
		const isRead = found === 0n && readMemory(tid, scratch, bytes) === bytes.length;
		const state = { interval: timeOf(readTime(bytes, 0, "64")), left: timeOf(readTime(bytes, VALUE, "64")) };
		const hostNow = hostRealtime();
		if (!isRead || !isAsArmed(armed, state, { from, to: hostNow })) {
			timers.set(id, { clock, armed: undefined });
			continue;
		}
		const deadline = nextExpiration(armed, state, { before, hostNow });
		const hostTime = deadlines.hostTime(deadline, clock);
		timers.set(id, { clock, armed: { ...armed, deadline, hostTime, given: hostTime } });
		const again = deadlineItimerspecBytes("64", { interval: armed.interval, deadline: hostTime });
		if (writeMemory(tid, scratch, again) !== again.length) continue;
		yield { name: "timer_settime", args: [BigInt(id), BigInt(TIMER_ABSTIME), scratch, 0n] };
	}
}
