/**
 * Random bytes that are the same in every run: getrandom(2), answered from a seed.
 *
 * Every program begins with the seed, and what a process has made by fork goes on from where that was: so processes do not depend on each
 * other, nor on who is faster.
 */
import { resume } from "../../linux/ptrace.ts";
import { SeededBytes } from "../../faketime/seeded-bytes.ts";
import type { RandomCall } from "../../syscalls/pretended-calls.ts";
import type { Architecture } from "../../syscalls/time-calls.ts";
import type { StoppedCall } from "../time-calls/stopped-call.ts";

// include/uapi/linux/random.h
const GRND_NONBLOCK = 1;
const GRND_RANDOM = 2;
const GRND_INSECURE = 4;
const KNOWN_FLAGS = GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE;

const EFAULT = -14n;
/** getrandom(2), "Notes": what one call returns at most. */
const MOST_BYTES = 33_554_431n;
const CHUNK = 65_536;

/**
 * What malloc of glibc asks for a key of its own, in front of a program's first allocation (tcache_key_initialize, 2.34): one word, and it
 * does not wait. The original does not see it, so that it must not shift what the program gets.
 */
const KEY_LENGTH: Readonly<Record<Architecture, bigint>> = { "x86-64": 8n, i386: 4n };

export interface SeededCaller {
	readonly call: RandomCall;
	readonly process: number;
}

interface Sequences {
	readonly program: SeededBytes;
	readonly keys: SeededBytes;
}

export class RandomBytes {
	readonly #sequences = new Map<number, Sequences>();
	readonly #chunk = new Uint8Array(CHUNK);

	forked(process: number, child: number): void {
		const sequences = this.#sequences.get(process);
		if (sequences === undefined) return;
		this.#sequences.set(child, { program: sequences.program.copy(), keys: sequences.keys.copy() });
	}

	/** The process has ended, or executes another program. */
	forget(process: number): void {
		this.#sequences.delete(process);
	}

	/** getrandom. The task is resumed. */
	stopped(stopped: StoppedCall, caller: SeededCaller): void {
		const flags = stopped.int(2);
		// The kernel refuses them itself.
		const isRefused = (flags & ~KNOWN_FLAGS) !== 0 || (flags & GRND_RANDOM && flags & GRND_INSECURE) !== 0;
		const result = isRefused ? undefined : this.#fill(stopped, caller);
		if (result !== undefined && !stopped.isClosed()) stopped.skip(result);
		resume(stopped.tid, 0);
	}

	#fill(stopped: StoppedCall, caller: SeededCaller): bigint {
		const [address, length] = [stopped.argument(0), stopped.argument(1)];
		const isKey = stopped.int(2) === GRND_NONBLOCK && length === KEY_LENGTH[stopped.architecture];
		const { program, keys } = this.#of(caller);
		const sequence = isKey ? keys : program;
		const wanted = length < MOST_BYTES ? length : MOST_BYTES;
		let filled = 0n;
		while (filled < wanted) {
			const rest = wanted - filled;
			const chunk = rest < CHUNK ? this.#chunk.subarray(0, Number(rest)) : this.#chunk;
			sequence.fillBytes(chunk);
			if (!stopped.write(address + filled, chunk)) return filled === 0n ? EFAULT : filled;
			filled += BigInt(chunk.length);
		}
		return filled;
	}

	#of({ call: { seed }, process }: SeededCaller): Sequences {
		let sequences = this.#sequences.get(process);
		if (sequences === undefined) {
			sequences = { program: new SeededBytes(seed), keys: new SeededBytes(seed) };
			this.#sequences.set(process, sequences);
		}
		return sequences;
	}
}
