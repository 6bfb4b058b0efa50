import { quoted } from "../clock/clock-spec-error.ts";
import { type Nanoseconds, nanoseconds, splitNanoseconds } from "../units.ts";
import { faketimeError } from "./error.ts";

/** The numbers of faketime, without a sign. It takes the point or the comma by locale; both are read here. */
export const NUMBER: string = String.raw`\d{1,30}(?:[.,]\d{1,30})?`;

/** A number times a unit. @throws {VsyscallError} ERR_VSYSCALL_FAKETIME when that is not a whole number of nanoseconds. */
export const readNumber = (text: string, unit: bigint): bigint => {
	const [whole = "0", fraction = ""] = text.split(/[.,]/);
	const scaled = BigInt(`${whole}${fraction}`) * unit;
	const scale = 10n ** BigInt(fraction.length);
	if (scaled % scale !== 0n)
		throw faketimeError(`${quoted(text)} is not a whole number of nanoseconds: leave out digits`);
	return scaled / scale;
};

/** An offset of the clock in seconds, with its sign: exact, where the original has six digits behind the point. */
export const formatOffset = (offset: Nanoseconds): string => {
	const isBack = offset < 0n;
	const { seconds, nanoseconds: rest } = splitNanoseconds(nanoseconds(isBack ? 0n - offset : offset));
	const fraction = rest === 0n ? "" : `.${String(rest).padStart(9, "0")}`;
	return `${isBack ? "-" : "+"}${seconds}${fraction}`;
};
