/**
 * The bytes that faketime gives for random ones: the middle square Weyl sequence (B. Widynski, arXiv:1704.00358) with the seed as its
 * constant, of whose every state the lowest byte is taken (libfaketime 0.9.10, and what it was seen to give).
 *
 *     w += seed;  x = x * x + w;  the halves of x change places        all of 64 bits, both 0 at first
 *
 * A seed of 0 gives nothing but zeros.
 */
const HALF = 2 ** 32;
const LOW_16 = 0xffff;

/** Words are kept in halves: a bigint is made anew for each byte, which takes ten times as long. */
export class SeededBytes {
	readonly #seed: bigint;
	readonly #seedHigh: number;
	readonly #seedLow: number;
	#high = 0;
	#low = 0;
	#weylHigh = 0;
	#weylLow = 0;

	/** @param seed whose lower 64 bits count */
	constructor(seed: bigint) {
		this.#seed = seed;
		this.#seedHigh = Number(BigInt.asUintN(32, seed >> 32n));
		this.#seedLow = Number(BigInt.asUintN(32, seed));
	}

	/** Another that goes on from here by itself. */
	copy(): SeededBytes {
		const copy = new SeededBytes(this.#seed);
		copy.#high = this.#high;
		copy.#low = this.#low;
		copy.#weylHigh = this.#weylHigh;
		copy.#weylLow = this.#weylLow;
		return copy;
	}

	/** Gives its next bytes. */
	fillBytes(bytes: Uint8Array): void {
		for (let index = 0; index < bytes.length; index++) bytes[index] = this.#next();
	}

	#next(): number {
		const weylLow = this.#weylLow + this.#seedLow;
		this.#weylHigh = (this.#weylHigh + this.#seedHigh + (weylLow < HALF ? 0 : 1)) >>> 0;
		this.#weylLow = weylLow >>> 0;
		// The square, in products that a double has exactly: (a * 2^16 + b)^2 of the low half, and the high one times twice the low.
		const a = this.#low >>> 16;
		const b = this.#low & LOW_16;
		const middle = 2 * a * b;
		const low = b * b + (middle & LOW_16) * 2 ** 16 + this.#weylLow;
		const high =
			a * a +
			Math.floor(middle / 2 ** 16) +
			Math.floor(low / HALF) +
			2 * Math.imul(this.#high, this.#low) +
			this.#weylHigh;
		this.#high = low >>> 0;
		this.#low = high >>> 0;
		return this.#low & 0xff;
	}
}
