/** Figures of many rounds: quartiles, and what successive readings of a clock say of it. */

export interface Quartiles {
	readonly lower: number;
	readonly median: number;
	readonly upper: number;
}

/** The value below which a share of the sorted values lies, between two values in proportion (R-7, Hyndman and Fan 1996). */
const quantile = (sorted: readonly number[], share: number): number => {
	const position = (sorted.length - 1) * share;
	const [below, above] = [sorted[Math.floor(position)], sorted[Math.ceil(position)]];
	if (below === undefined || above === undefined) throw new RangeError("Quartiles of no values");
	return below + (above - below) * (position - Math.floor(position));
};

/** @throws {RangeError} when there are no values. */
export const quartilesOf = (values: readonly number[]): Quartiles => {
	const sorted = values.toSorted((a, b) => a - b);
	return { lower: quantile(sorted, 0.25), median: quantile(sorted, 0.5), upper: quantile(sorted, 0.75) };
};

/** Differences between successive readings that are below a power of two, and not below the one before. */
export interface Bucket {
	/** Nanoseconds; 1 for readings that are equal. */
	readonly below: number;
	readonly count: number;
}

export interface Readings {
	readonly count: number;
	/** Readings that were before the one in front of them. */
	readonly backward: number;
	/** The widest step back, in nanoseconds. */
	readonly largestBackward: number;
	/** In ascending order, without empty ones. */
	readonly histogram: readonly Bucket[];
}

/** The first power of two above a difference: 1 of 0. */
const bucketOf = (difference: bigint): number => (difference === 0n ? 0 : difference.toString(2).length);

/** Readings of one clock, in the order in which they were made; batches have gaps between them that are no differences. */
export class ReadingsCollector {
	#count = 0;
	#backward = 0;
	#largestBackward = 0n;
	#last: bigint | undefined;
	readonly #counts = new Map<number, number>();

	/** Adds readings that follow each other without a pause. */
	add(batch: readonly bigint[]): void {
		batch.forEach((reading, index) => {
			const difference = this.#last === undefined ? 0n : reading - this.#last;
			if (difference < 0n) {
				this.#backward++;
				if (-difference > this.#largestBackward) this.#largestBackward = -difference;
			} else if (index > 0) {
				const bucket = bucketOf(difference);
				this.#counts.set(bucket, (this.#counts.get(bucket) ?? 0) + 1);
			}
			this.#last = reading;
		});
		this.#count += batch.length;
	}

	get readings(): Readings {
		const histogram = [...this.#counts]
			.toSorted(([a], [b]) => a - b)
			.map(([bucket, count]) => ({ below: 2 ** bucket, count }));
		return {
			count: this.#count,
			backward: this.#backward,
			largestBackward: Number(this.#largestBackward),
			histogram,
		};
	}
}
