/** What the filter has stopped, and who answers it: by the word that the filter gives as its reason (linux/seccomp.ts). */
import { eventMessage, resume } from "../linux/ptrace.ts";
import {
	IO_URING_CALL,
	PAGE_CALL,
	PRETENDED_CALL,
	SEGV_ACTION,
	TIME_CALL,
	TRACER_CALL,
	UNTRACED_CLONE,
	WATCHED_READ,
} from "../linux/seccomp.ts";
import type { Architecture } from "../syscalls/time-calls.ts";
import type { Bystanders } from "./bystanders.ts";
import { leaveOutCall } from "./foreign-stop.ts";
import type { TimeCalls } from "./time-calls/time-calls.ts";
import type { TracerSlot } from "./tracer-slot.ts";
import type { UntracedClones } from "./untraced-clones.ts";
import type { PageCalls } from "./vsyscall-page/page-calls.ts";

export interface SeccompHandlers {
	readonly slot: TracerSlot;
	readonly untracedClones: UntracedClones;
	readonly bystanders: Bystanders;
	/** Undefined where nobody has asked the filter for such stops. */
	readonly timeCalls: TimeCalls | undefined;
	readonly pageCalls: PageCalls | undefined;
}

const architectureOf = (reasons: Readonly<Record<Architecture, number>>, reason: number): Architecture | undefined =>
	(["x86-64", "i386"] as const).find((name) => reasons[name] === reason);

/** @returns whether the stop was one of a call that means a time; then it has been answered */
const answerTimeCall = (timeCalls: TimeCalls, tid: number, reason: number): boolean => {
	const [call, read, ring, pretended] = [TIME_CALL, WATCHED_READ, IO_URING_CALL, PRETENDED_CALL].map((reasons) =>
		architectureOf(reasons, reason),
	);
	if (call !== undefined) timeCalls.seccompStop(tid, call);
	else if (read !== undefined) timeCalls.readStop(tid, read);
	else if (ring !== undefined) timeCalls.ioUringStop(tid, ring);
	else if (pretended !== undefined) timeCalls.pretendedStop(tid, pretended);
	else return false;
	return true;
};

/** Answers a stop. The task has been resumed, or will be by who answers it. */
export const answerSeccompStop = (
	tid: number,
	{ slot, untracedClones, bystanders, timeCalls, pageCalls }: SeccompHandlers,
): void => {
	const reason = eventMessage(tid);
	if (reason === TRACER_CALL) return slot.seccompStop(tid);
	if (reason === UNTRACED_CLONE) return untracedClones.seccompStop(tid);
	if (timeCalls !== undefined && answerTimeCall(timeCalls, tid, reason)) return;
	if (reason !== PAGE_CALL && reason !== SEGV_ACTION) leaveOutCall(tid);
	else if (pageCalls !== undefined && !bystanders.has(tid)) pageCalls.seccompStop(tid, reason);
	// Of a process that is not meant, or by the filter of a run around this one: what it would do is done by the host.
	else resume(tid, 0);
};
