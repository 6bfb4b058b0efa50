/**
 * Calls that submit: the entries that wait for an absolute time of the wall clock are given the host's.
 *
 *     seccomp stop   the host's time is written to memory of ours (time-cells.ts), and the address in the entry leads there
 *     (the call)     the kernel copies the time at once, and takes the entry from the queue; then it may wait
 *     syscall exit   the address is put back, unless the program has filled the entry anew meanwhile
 *
 * The entry is what is changed, and not the time: between head and tail entries are the kernel's, so nobody else looks at them, while the
 * time can be in memory that is read-only, shared, or written by another thread at that moment.
 */
import { hostRealtime } from "../../linux/host-vdso.ts";
import { resume } from "../../linux/ptrace.ts";
import { readTimeoutRequest, submittedEntries, type TimeoutRequest } from "../../syscalls/io-uring.ts";
import { CLOCK_REALTIME } from "../../syscalls/time-calls.ts";
import { deadlineWords, readTime, timeOf, timespecSize } from "../../syscalls/time-structures.ts";
import { type Nanoseconds, nanoseconds } from "../../units.ts";
import type { InstalledImage } from "../install/kits.ts";
import type { Deadlines } from "../time-calls/deadlines.ts";
import type { FollowedCalls } from "../time-calls/followed-calls.ts";
import type { StoppedCall } from "../time-calls/stopped-call.ts";
import type { FoundRing, Ring } from "./rings.ts";
import { placeTimes } from "./time-cells.ts";

export interface SubmissionsOptions {
	readonly deadlines: Deadlines;
	readonly calls: FollowedCalls;
	readonly installedIn: (tid: number) => InstalledImage | undefined;
}

/** A word of an entry that stands for the program's own. */
interface Exchange {
	readonly index: number;
	readonly field: number;
	readonly own: bigint;
	readonly given: bigint;
}

/** A time of the program's that the kernel is to be given as another. */
interface Translation extends Omit<Exchange, "given"> {
	readonly hostTime: Nanoseconds;
	readonly isImmediate: boolean;
}

interface Submission {
	readonly process: number;
	readonly found: FoundRing;
	readonly exchanges: readonly Exchange[];
}

const EAGAIN = 11n;

export class Submissions {
	readonly #options: SubmissionsOptions;
	/** By task: calls that have not come back. */
	readonly #underWay = new Map<number, Submission>();

	constructor(options: SubmissionsOptions) {
		this.#options = options;
	}

	/** A call that submits to a ring. The task is resumed. */
	submit(stopped: StoppedCall, process: number, found: FoundRing): void {
		const { tid } = stopped;
		const translations = this.#translations(stopped, process, found);
		if (translations.length === 0) {
			found.release();
			resume(tid, 0);
			return;
		}
		const exchanges = this.#exchanges(stopped, process, translations);
		if (exchanges === undefined) {
			found.release();
			stopped.skip(-EAGAIN);
			resume(tid, 0);
			return;
		}
		for (const { index, field, given } of exchanges) found.memory.setField(index, field, given);
		this.#underWay.set(tid, { process, found, exchanges });
		const finished = (): undefined => this.ended(tid);
		this.#options.calls.follow(stopped, { isWait: false, finished });
	}

	/** A call has come back, or its task has ended. */
	ended(tid: number): undefined {
		const submission = this.#underWay.get(tid);
		if (submission === undefined) return;
		this.#underWay.delete(tid);
		const { found, exchanges } = submission;
		for (const { index, field, own, given } of exchanges) {
			found.memory.exchangeField(index, field, { from: given, to: own });
		}
		found.release();
	}

	/** A process has executed a program: its other threads are gone. */
	exec(process: number): void {
		for (const [tid, submission] of this.#underWay) if (submission.process === process) this.ended(tid);
	}

	#translations(stopped: StoppedCall, process: number, { ring, memory }: FoundRing): readonly Translation[] {
		const translations: Translation[] = [];
		for (const { index, bytes } of submittedEntries(ring.shape, memory, stopped.int(1) >>> 0)) {
			const request = readTimeoutRequest(bytes);
			if (request === undefined || !this.#isOnWall(request, ring)) continue;
			const { field, isImmediate } = request;
			const own = this.#ownWord(ring, { index, field, word: request.value });
			const time = isImmediate ? nanoseconds(own) : this.#timeAt(stopped, own);
			// What cannot be read or is no time: the kernel says so itself.
			if (time === undefined) continue;
			const hostTime = this.#hostTime(request, time);
			const deadline = request.isAbsolute ? time : undefined;
			ring.timeouts.set(request, { process, deadline, until: hostTime }, hostRealtime());
			if (request.isAbsolute && hostTime !== time) {
				translations.push({ index, field, own, isImmediate, hostTime: timeOf(deadlineWords("64", hostTime)) });
			}
		}
		return translations;
	}

	#isOnWall(request: TimeoutRequest, { timeouts }: Ring): boolean {
		if (request.kind === "update") return timeouts.has(request);
		if (!request.isOnWall) timeouts.delete(request);
		return request.isOnWall;
	}

	/** What the program has put into an entry that another thread submits again while the call that changed it still waits. */
	#ownWord(ring: Ring, at: { readonly index: number; readonly field: number; readonly word: bigint }): bigint {
		for (const { found, exchanges } of this.#underWay.values()) {
			if (found.ring !== ring) continue;
			const exchange = exchanges.find(
				({ index, field, given }) => index === at.index && field === at.field && given === at.word,
			);
			if (exchange !== undefined) return exchange.own;
		}
		return at.word;
	}

	/** When, on the host, a request ends that waits for a time, or for so long. */
	#hostTime({ isAbsolute }: TimeoutRequest, time: Nanoseconds): Nanoseconds {
		return isAbsolute ? this.#options.deadlines.hostTime(time, CLOCK_REALTIME) : nanoseconds(hostRealtime() + time);
	}

	#timeAt(stopped: StoppedCall, address: bigint): Nanoseconds | undefined {
		const { layout } = stopped.call;
		const bytes = stopped.read(address, timespecSize(layout));
		if (bytes === undefined) return undefined;
		const words = readTime(bytes, 0, layout);
		// Here the kernel lets a fraction pass that is more than a second.
		const isValid = words.fraction >= 0n && this.#options.deadlines.isValid({ ...words, fraction: 0n });
		return isValid ? timeOf(words) : undefined;
	}

	/** @returns undefined when there is no memory for the times */
	#exchanges(
		stopped: StoppedCall,
		process: number,
		translations: readonly Translation[],
	): readonly Exchange[] | undefined {
		const used = new Set<bigint>();
		for (const submission of this.#underWay.values()) {
			if (submission.process !== process) continue;
			for (const { given } of submission.exchanges) used.add(given);
		}
		const inMemory = translations.filter(({ isImmediate }) => !isImmediate).map(({ hostTime }) => hostTime);
		const places = placeTimes(stopped, inMemory, { installed: this.#options.installedIn(stopped.tid), used });
		if (places === undefined) return undefined;
		const free = places.values();
		return translations.map(({ index, field, own, isImmediate, hostTime }) => {
			const given = isImmediate ? hostTime : (free.next().value ?? own);
			return { index, field, own, given };
		});
	}
}
