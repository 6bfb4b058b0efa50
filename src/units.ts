/** Units that would otherwise be swapped, as branded bigints. A brand is erased at run time. */
declare const unit: unique symbol;
type Unit<Name extends string> = bigint & { readonly [unit]: Name };

/** An address in a tracee's address space. Never an offset, never an address of ours. */
export type Address = Unit<"Address">;

/** A length of time, or an instant counted from 1970-01-01T00:00:00Z. Signed, of any size. */
export type Nanoseconds = Unit<"Nanoseconds">;

/** @throws {RangeError} when `value` does not fit 64 unsigned bits. */
export const address = (value: bigint): Address => {
	if (BigInt.asUintN(64, value) !== value) throw new RangeError(`Not a 64-bit address: ${value}`);
	return value as Address;
};

export const nanoseconds = (value: bigint): Nanoseconds => value as Nanoseconds;

export const NANOSECONDS_PER_SECOND = 1_000_000_000n;

/** Whole seconds towards minus infinity, and the rest: 0 <= nanoseconds < 1e9, before 1970 too. */
export const splitNanoseconds = (value: Nanoseconds): { readonly seconds: bigint; readonly nanoseconds: bigint } => {
	const rest = ((value % NANOSECONDS_PER_SECOND) + NANOSECONDS_PER_SECOND) % NANOSECONDS_PER_SECOND;
	return { seconds: (value - rest) / NANOSECONDS_PER_SECOND, nanoseconds: rest };
};

/** The inverse of `splitNanoseconds`. */
export const joinNanoseconds = (seconds: bigint, rest: bigint): Nanoseconds =>
	nanoseconds(seconds * NANOSECONDS_PER_SECOND + rest);
