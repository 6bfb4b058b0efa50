/**
 * Who calls: samples of stacks, resolved to functions while their process lives.
 *
 * Most programs reach the vDSO through a function of the C library, whose caller is the one to name. So frames are unwound, by the
 * call frame information of the file that they are in, while they belong to the C library or bear the name of what was called.
 */
import type { WordSize } from "../../bytes.ts";
import { ENTRY_FRAME } from "../../vdso/page-entries.ts";
import { CALL, type Calls } from "../../observation/calls.ts";
import { RECORD, SAMPLE, serialOfKey } from "../../observation/layout.ts";
import type { FrameRules } from "./frame-table.ts";
import { AddressSpace, Modules } from "./modules.ts";
import type { ObservedProcess, ObservedProcesses } from "./processes.ts";

/** Callers of one call of one process: how often each was met. */
export type CallerCounts = ReadonlyMap<string, number>;

interface Sample {
	readonly words: readonly bigint[];
	readonly wordSize: WordSize;
	readonly stackPointer: bigint;
	/** rbp or ebp. */
	framePointer: bigint;
}

/** A return address, and the stack pointer behind it. */
interface Place {
	readonly address: bigint;
	readonly stack: bigint;
}

interface Frame {
	readonly text: string;
	/** The caller's, when this one only passes the call on, and it is known. */
	readonly next: Place | undefined;
}

const MAX_FRAMES = 8;
const C_LIBRARY = /^(libc|libpthread|librt|ld-linux|ld-musl|libc\.musl)[-.]/;
const WRAPPER =
	/^(__|_)?(clock_gettime|gettimeofday|time|clock_getres|getcpu|sched_getcpu|timespec_get)(64|\d*)?(_\w+)?$/;

const hex = (value: bigint): string => `0x${value.toString(16)}`;

const WIDE_WORD = 8;

const readSample = (
	record: DataView,
	{ call, bits }: { readonly call: number; readonly bits: ObservedProcess["bits"] },
): { readonly sample: Sample; readonly first: number } => {
	const wordSize = bits === 64 ? WIDE_WORD : 4;
	const count = Math.min(record.getUint32(SAMPLE.words, true), (SAMPLE.maxWords * WIDE_WORD) / wordSize);
	const words = Array.from({ length: count }, (_, index) => {
		const place = SAMPLE.stack + wordSize * index;
		return bits === 64 ? record.getBigUint64(place, true) : BigInt(record.getUint32(place, true));
	});
	const isPageEntry = call >= CALL.page && call < CALL.forwarded;
	return {
		sample: {
			words,
			wordSize,
			stackPointer: record.getBigUint64(SAMPLE.stackPointer, true),
			framePointer: record.getBigUint64(SAMPLE.rbp, true),
		},
		first: isPageEntry ? ENTRY_FRAME.returnAddress / WIDE_WORD : 0,
	};
};

export class Callers {
	readonly #processes: ObservedProcesses;
	readonly #calls: Calls;
	readonly #modules = new Modules();
	readonly #spaces = new Map<number, AddressSpace>();
	readonly #counts = new Map<number, Map<number, Map<string, number>>>();

	constructor(processes: ObservedProcesses, calls: Calls) {
		this.#processes = processes;
		this.#calls = calls;
	}

	/** Takes a record of a ring. */
	add(record: DataView): void {
		const serial = serialOfKey(record.getBigUint64(RECORD.key, true));
		const call = record.getUint32(RECORD.call, true);
		const process = this.#processes.bySerial(serial);
		if (process === undefined || !this.#calls.has(call)) return;
		const { sample, first } = readSample(record, { call, bits: process.bits });
		const ofProcess = this.#counts.get(serial) ?? new Map<number, Map<string, number>>();
		const ofCall = ofProcess.get(call) ?? new Map<string, number>();
		const caller = this.#resolve(this.#spaceOf(serial, process.pid), process.pid, { sample, first });
		ofCall.set(caller, (ofCall.get(caller) ?? 0) + 1);
		ofProcess.set(call, ofCall);
		this.#counts.set(serial, ofProcess);
	}

	/** What was met of a call of a process. */
	of(serial: number, call: number): CallerCounts {
		return this.#counts.get(serial)?.get(call) ?? new Map<string, number>();
	}

	#spaceOf(serial: number, pid: number): AddressSpace {
		let space = this.#spaces.get(serial);
		if (space === undefined) {
			space = new AddressSpace(pid, () => this.#processes.current(pid)?.serial === serial);
			this.#spaces.set(serial, space);
		}
		return space;
	}

	#resolve(
		space: AddressSpace,
		pid: number,
		{ sample, first }: { readonly sample: Sample; readonly first: number },
	): string {
		let place: Frame["next"] = {
			address: sample.words[first] ?? 0n,
			stack: sample.stackPointer + BigInt(sample.wordSize * (first + 1)),
		};
		let text = "";
		for (let depth = 0; depth < MAX_FRAMES && place !== undefined; depth++) {
			const frame = this.#frame(space, pid, place, sample);
			({ text } = frame);
			place = frame.next;
		}
		return text;
	}

	/** @param place a return address, and where the stack pointer is behind it */
	#frame(space: AddressSpace, pid: number, place: Place, sample: Sample): Frame {
		// In the call, not behind it: that may be another function.
		const address = place.address - 1n;
		const mapping = space.at(address);
		if (mapping === undefined) return unnamed(place);
		if (!mapping.name.startsWith("/") || mapping.name.startsWith("/memfd:")) {
			return { ...unnamed(place), text: space.compiledAt(address) ?? hex(place.address) };
		}
		const module = this.#modules.get(pid, mapping.name);
		const inFile = module.addressOf(address - mapping.start + mapping.offset);
		if (inFile === undefined) return unnamed(place);
		const found = module.functionAt(inFile);
		const where = found === undefined ? hex(inFile + 1n) : `${found.name}+${hex(found.offset + 1n)}`;
		const isWrapper = C_LIBRARY.test(module.name) || WRAPPER.test(found?.name ?? "");
		const rules = isWrapper ? module.frameAt(inFile) : undefined;
		return { text: `${where} (${module.name})`, next: rules && unwind(rules, place, sample) };
	}
}

const unnamed = ({ address }: Place): Frame => ({ text: hex(address), next: undefined });

/** The frame of the caller, as far as the sample shows it. */
const unwind = (rules: FrameRules, place: Place, sample: Sample): Frame["next"] => {
	const { wordSize } = sample;
	const cfa = (rules.base === "stack pointer" ? place.stack : sample.framePointer) + BigInt(rules.offset);
	const wordAt = (from: bigint): bigint | undefined => sample.words[Number(from - sample.stackPointer) / wordSize];
	const address = wordAt(cfa - BigInt(wordSize));
	if (rules.savedFramePointer !== undefined)
		sample.framePointer = wordAt(cfa + BigInt(rules.savedFramePointer)) ?? sample.framePointer;
	return address === undefined ? undefined : { address, stack: cfa };
};
