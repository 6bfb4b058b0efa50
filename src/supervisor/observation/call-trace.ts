/**
 * `vsyscall trace`: the calls of a run in the order in which they returned.
 *
 * The rings are read every few milliseconds. What has been read is kept back until the next time, since another ring, or the
 * supervisor itself, may have a call that came before.
 */
import { CounterTime } from "../../linux/counter-time.ts";
import { readMemory } from "../../linux/remote-memory.ts";
import { ByteReader } from "../../bytes.ts";
import type { Call } from "../../observation/calls.ts";
import { readTracedRecord, type TracedCall, type TracedRecord } from "../../observation/traced-call.ts";
import { RingReader } from "../../observation/ring.ts";
import type { Nanoseconds } from "../../units.ts";
import { ProcessIds } from "../process-ids.ts";
import type { ObservationOptions } from "./observed-run.ts";
import type { Observer, StoppedObservation } from "./observer.ts";
import type { ObservedProcess } from "./processes.ts";

export interface TraceEntry extends TracedCall {
	/** Of the host's CLOCK_REALTIME. */
	readonly time: Nanoseconds;
	/** 0 when it is not known. */
	readonly pid: number;
	/** The process, where the thread is not known. */
	readonly tid: number;
}

export interface CallTraceOptions {
	/** The functions that are traced, by name; undefined for all. */
	readonly traced: ReadonlySet<string> | undefined;
	/** Told of calls, in their order. */
	readonly calls: (entries: readonly TraceEntry[]) => void;
	/** Told how many calls found no place in their ring since the last time. */
	readonly lost: (count: bigint) => void;
}

interface Pending extends Omit<TraceEntry, "time"> {
	readonly counter: bigint;
}

const LOOK_MS = 10;
/** What a call stores, that the supervisor has answered: by the argument that points to it. */
const STORES: Readonly<Record<string, number>> = { clock_gettime: 1, clock_gettime64: 1, gettimeofday: 0 };

/** Two words, of 32 bits in structures of i386 that have no wider time. */
const readStored = (tid: number, place: bigint, { bits, name }: Call): readonly [bigint, bigint] | undefined => {
	const isNarrow = bits === 32 && !name.endsWith("64");
	const bytes = new Uint8Array(isNarrow ? 8 : 16);
	if (readMemory(tid, place, bytes) !== bytes.length) return undefined;
	const reader = new ByteReader(bytes);
	return isNarrow ? [BigInt(reader.i32(0)), BigInt(reader.i32(4))] : [reader.u64(0), reader.u64(8)];
};

export class CallTrace {
	readonly #options: CallTraceOptions;
	readonly #time = new CounterTime();
	readonly #processIds = new ProcessIds();
	/** Threads by the process and what tells them apart in records. */
	readonly #threads = new Map<string, number>();
	#pending: Pending[] = [];
	/** Where the counter was at the last look: what is pending from before is in order. */
	#horizon = 0n;
	#observed: { readonly observer: Observer; readonly ring: RingReader } | undefined;
	#lost = 0n;

	constructor(options: CallTraceOptions) {
		this.#options = options;
	}

	/** What a run is given. */
	get options(): ObservationOptions {
		return {
			observation: "trace",
			traced: this.#options.traced,
			lookMs: LOOK_MS,
			begun: (observer) => {
				const { bytes, layout } = observer.file;
				this.#observed = { observer, ring: new RingReader(bytes, layout) };
			},
			stopped: (stopped) => this.#stopped(stopped),
			threadMade: (tid, base) => {
				// The base may have been another thread's, which has ended.
				this.#drain(false);
				this.#threads.set(`${this.#processIds.of(tid)} ${base}`, tid);
			},
			exits: () => this.#drain(false),
			look: (isEnd) => this.#look(isEnd),
		};
	}

	/** Calls that found no place in their ring. */
	get lost(): bigint {
		return this.#lost;
	}

	/** Programs of which only the calls are traced that the supervisor has seen. */
	get unreached(): readonly ObservedProcess[] {
		return this.#observed?.observer.unreached ?? [];
	}

	#stopped({ tid, pid, call, result, arguments: given }: StoppedObservation): void {
		const { traced } = this.#options;
		if (traced !== undefined && !traced.has(call.name)) return;
		const place = given[STORES[call.name] ?? -1] ?? 0n;
		this.#pending.push({
			tid,
			pid,
			call,
			arguments: given,
			result: result === undefined ? undefined : BigInt.asIntN(64, result),
			stored: result === 0n && place !== 0n ? readStored(tid, place, call) : undefined,
			returnAddress: undefined,
			counter: this.#time.read(),
		});
	}

	#drain(isEnd: boolean): void {
		if (this.#observed === undefined) return;
		const { observer, ring } = this.#observed;
		ring.drain((record) => {
			const traced = readTracedRecord(record, observer.calls);
			if (traced !== undefined) this.#pending.push(this.#attribute(traced, observer));
		}, isEnd);
	}

	#attribute({ serial, thread, ...traced }: TracedRecord, { processes }: Observer): Pending {
		const pid = processes.bySerial(serial)?.pid ?? 0;
		return { ...traced, pid, tid: this.#threads.get(`${pid} ${thread}`) ?? pid };
	}

	#look(isEnd: boolean): void {
		this.#time.update();
		const now = this.#time.read();
		this.#drain(isEnd);
		const ready = this.#pending.filter(({ counter }) => isEnd || counter <= this.#horizon);
		this.#pending = this.#pending.filter(({ counter }) => !isEnd && counter > this.#horizon);
		this.#horizon = now;
		ready.sort((a, b) => (a.counter < b.counter ? -1 : Number(a.counter > b.counter)));
		if (ready.length > 0) {
			this.#options.calls(ready.map(({ counter, ...entry }) => ({ ...entry, time: this.#time.at(counter) })));
		}
		const lost = this.#observed?.ring.lost ?? 0n;
		if (lost > this.#lost) this.#options.lost(lost - this.#lost);
		this.#lost = lost;
	}
}
