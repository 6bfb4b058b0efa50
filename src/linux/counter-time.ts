/**
 * From the time stamp counter to the host's wall clock: by two moments at which both were read, the first and the last. Precise to
 * some microseconds, which is enough to say when a call was made; no clock of a run comes from here.
 */
import { Assembler } from "../asm/assembler.ts";
import { memory } from "../asm/operands.ts";
import { eax, rax, rcx, rdx } from "../asm/registers.ts";
import { nanoseconds, type Nanoseconds } from "../units.ts";
import { addressOf, callCode } from "./ffi.ts";
import { hostRealtime } from "./host-vdso.ts";
import { mapCode } from "./memfd.ts";

interface Moment {
	readonly counter: bigint;
	readonly time: bigint;
}

/** Of several readings, the one that took the shortest time between two of the clock. */
const READINGS = 5;

export class CounterTime {
	/** Where the machine code leaves the counter. */
	readonly #word = new BigUint64Array(1);
	readonly #code: bigint;
	readonly #first: Moment;
	#last: Moment;

	constructor() {
		const assembler = new Assembler(64);
		assembler.rdtsc();
		assembler.shl(rdx, 32);
		assembler.or(rax, rdx);
		assembler.mov(rcx, addressOf(this.#word));
		assembler.mov(memory(rcx), rax);
		assembler.xor(eax, eax);
		assembler.ret();
		this.#code = mapCode(assembler.assemble().bytes);
		this.#first = this.#look();
		this.#last = this.#first;
	}

	/** The counter now. */
	read(): bigint {
		callCode(this.#code);
		return this.#word[0] ?? 0n;
	}

	/** Takes another moment to go by. */
	update(): void {
		this.#last = this.#look();
	}

	/** The host's CLOCK_REALTIME when the counter was `counter`. */
	at(counter: bigint): Nanoseconds {
		const [first, last] = [this.#first, this.#last];
		const [cycles, time] = [last.counter - first.counter, last.time - first.time];
		if (cycles === 0n) return nanoseconds(first.time);
		return nanoseconds(first.time + ((counter - first.counter) * time) / cycles);
	}

	#look(): Moment {
		let best: (Moment & { readonly width: bigint }) | undefined;
		for (let reading = 0; reading < READINGS; reading++) {
			const before = hostRealtime();
			const counter = this.read();
			const width = hostRealtime() - before;
			if (best === undefined || width < best.width) best = { counter, time: before + width / 2n, width };
		}
		return best ?? { counter: 0n, time: 0n };
	}
}
