/** `vsyscall stat`: what was counted in a run, put together. */
import { childrensTime, type ProcessorTime } from "../../linux/resource-usage.ts";
import { type Call, keyOfCall } from "../../observation/calls.ts";
import { SlotTable, type Tally } from "../../observation/counters.ts";
import { RingReader } from "../../observation/ring.ts";
import { Callers } from "./callers.ts";
import { Costs } from "./costs.ts";
import type { ObservationOptions } from "./observed-run.ts";
import type { Observer, StoppedObservation } from "./observer.ts";
import type { ObservedProcess } from "./processes.ts";

export interface CountedCall extends Call {
	readonly count: number;
}

export interface CostedCalls extends CountedCall {
	readonly perSecond: number;
	/** Undefined for calls whose cost is not measured. */
	readonly nanosecondsEach: number | undefined;
}

export interface CountedProcess {
	/** Undefined for processes that another tracer had when they were made. */
	readonly pid: number | undefined;
	readonly program: string;
	/** It was forked, and has not executed a program since. */
	readonly isForked: boolean;
	readonly bits: ObservedProcess["bits"];
	/** What it calls in user space could be counted. */
	readonly isCounted: boolean;
	readonly count: number;
	/** The most frequent first. */
	readonly calls: readonly CountedCall[];
}

export interface Caller extends Call {
	/** "main+0x1c (program)" */
	readonly caller: string;
	/** Estimated from the samples. */
	readonly count: number;
	readonly samples: number;
}

export interface StatReport {
	readonly seconds: number;
	/** Of all processes that were waited for. */
	readonly processorTime: ProcessorTime;
	/** The most expensive first, those of unknown cost last. */
	readonly calls: readonly CostedCalls[];
	readonly processes: readonly CountedProcess[];
	/** The most frequent first. */
	readonly callers: readonly Caller[];
	/** Calls that found no slot: they are in `calls`, but of no process. */
	readonly unattributed: number;
}

/** Every how many milliseconds the rings are read, and calls to be sampled are chosen. */
const LOOK_MS = 10;

const byCount = (a: { readonly count: number }, b: { readonly count: number }): number => b.count - a.count;

/** Adds up counts of equal calls. */
class Sums {
	readonly #sums = new Map<string, { readonly call: Call; count: number }>();

	add(call: Call, count: number): void {
		const sum = this.#sums.get(keyOfCall(call));
		if (sum !== undefined) sum.count += count;
		else if (count > 0) this.#sums.set(keyOfCall(call), { call, count });
	}

	get calls(): readonly CountedCall[] {
		return [...this.#sums.values()].map(({ call, count }) => ({ ...call, count })).toSorted(byCount);
	}

	get count(): number {
		return [...this.#sums.values()].reduce((total, { count }) => total + count, 0);
	}
}

/** Of calls whose cost is not known, less than of any other. */
const cost = ({ count, nanosecondsEach = -1 }: CostedCalls): number => count * nanosecondsEach;

export class Statistics {
	/** The functions that are counted, by name; undefined for all. */
	readonly #wanted: ReadonlySet<string> | undefined;
	/** Of the calls that the supervisor has seen, by serial. */
	readonly #stopped = new Map<number, Sums>();
	#start = 0;
	#end = 0;
	readonly #timeBefore = childrensTime();
	#observed:
		| { readonly observer: Observer; readonly slots: SlotTable; readonly ring: RingReader; readonly callers: Callers }
		| undefined;

	constructor(wanted?: ReadonlySet<string>) {
		this.#wanted = wanted;
	}

	/** What a run is given. */
	get options(): ObservationOptions {
		return {
			observation: "count",
			lookMs: LOOK_MS,
			begun: (observer) => {
				this.#start = performance.now();
				const { bytes, layout } = observer.file;
				this.#observed = {
					observer,
					slots: new SlotTable(bytes, layout),
					ring: new RingReader(bytes, layout),
					callers: new Callers(observer.processes, observer.calls),
				};
			},
			stopped: (stopped) => this.#count(stopped),
			threadMade: () => {},
			exits: () => this.#look(false),
			look: (isEnd) => this.#look(isEnd),
		};
	}

	/** @throws {RangeError} when there has been no run. */
	report(): StatReport {
		if (this.#observed === undefined) throw new RangeError("Nothing has been counted: there has been no run");
		const { observer, slots } = this.#observed;
		const seconds = (this.#end - this.#start) / 1000;
		const time = childrensTime();
		const tally = slots.tally();
		const total = new Sums();
		const processes = this.#processes(tally, total);
		const unattributed = new Sums();
		tally.unattributed.forEach((count, index) => this.#addTo(unattributed, index, count));
		for (const { count, ...call } of unattributed.calls) total.add(call, count);
		const costs = new Costs(observer.narrowHost);
		const calls = total.calls.map((call) => ({
			...call,
			perSecond: call.count / seconds,
			nanosecondsEach: costs.of(call),
		}));
		return {
			seconds,
			processorTime: {
				user: time.user - this.#timeBefore.user,
				system: time.system - this.#timeBefore.system,
			},
			calls: calls.toSorted((a, b) => cost(b) - cost(a)),
			processes,
			callers: this.#callers(tally, observer),
			unattributed: unattributed.count,
		};
	}

	#addTo(sums: Sums, index: number, count: bigint): void {
		const call = this.#observed?.observer.calls.get(index);
		if (call !== undefined && this.#isWanted(call)) sums.add(call, Number(count));
	}

	#isWanted({ name }: Call): boolean {
		return this.#wanted?.has(name) ?? true;
	}

	#count({ pid, call }: StoppedObservation): void {
		if (!this.#isWanted(call)) return;
		const serial = this.#observed?.observer.processes.current(pid)?.serial ?? 0;
		const sums = this.#stopped.get(serial) ?? new Sums();
		sums.add(call, 1);
		this.#stopped.set(serial, sums);
	}

	#look(isEnd: boolean): void {
		if (this.#observed === undefined) return;
		const { observer, slots, ring, callers } = this.#observed;
		ring.drain((record) => callers.add(record), isEnd);
		this.#end = performance.now();
		if (isEnd) return;
		slots.arm();
		slots.release((serial) => observer.processes.isGone(serial));
	}

	#processes(tally: Tally, total: Sums): readonly CountedProcess[] {
		const observer = this.#observed?.observer;
		if (observer === undefined) return [];
		const seen = [...observer.processes.all].map(({ serial }) => serial);
		const serials = new Set([...seen, ...tally.processes.keys(), ...this.#stopped.keys()]);
		return [...serials]
			.map((serial) => {
				const sums = new Sums();
				tally.processes.get(serial)?.forEach((count, index) => this.#addTo(sums, index, count));
				for (const { count, ...call } of this.#stopped.get(serial)?.calls ?? []) sums.add(call, count);
				for (const { count, ...call } of sums.calls) total.add(call, count);
				const process = observer.processes.bySerial(serial);
				return {
					pid: process?.pid,
					program: process?.program ?? "processes of another tracer",
					isForked: process?.isForked ?? false,
					bits: process?.bits ?? 64,
					isCounted: process === undefined || observer.isReached(process),
					count: sums.count,
					calls: sums.calls,
				};
			})
			.toSorted(byCount);
	}

	/** Each count is shared out to the callers that were met of that call in that process. */
	#callers(tally: Tally, { calls }: Observer): readonly Caller[] {
		const found = new Map<string, { call: Call; caller: string; count: number; samples: number }>();
		for (const [serial, counts] of tally.processes) {
			counts.forEach((count, index) => {
				const call = calls.get(index);
				const met = this.#observed?.callers.of(serial, index);
				if (call === undefined || !this.#isWanted(call) || met === undefined || count === 0n) return;
				const all = [...met.values()].reduce((sum, samples) => sum + samples, 0);
				for (const [caller, samples] of met) {
					const key = `${keyOfCall(call)} ${caller}`;
					const entry = found.get(key) ?? { call, caller, count: 0, samples: 0 };
					entry.count += (Number(count) * samples) / all;
					entry.samples += samples;
					found.set(key, entry);
				}
			});
		}
		return [...found.values()]
			.map(({ call, caller, count, samples }) => ({ ...call, caller, count: Math.round(count), samples }))
			.toSorted(byCount);
	}
}
