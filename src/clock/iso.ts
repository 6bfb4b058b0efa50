import { type Nanoseconds, NANOSECONDS_PER_SECOND } from "../units.ts";
import { civilFromDays, splitDay } from "./civil.ts";

const digits = (value: bigint | number, count: number): string => String(value).padStart(count, "0");

/** Four digits; a sign and six outside 0 to 9999, as ISO 8601 and ECMA-262 ("Expanded Years") have it. */
const isoYear = (year: bigint): string => {
	if (0n <= year && year <= 9999n) return digits(year, 4);
	return year < 0n ? `-${digits(-year, 6)}` : `+${digits(year, 6)}`;
};

/** A time as `2038-01-19T03:14:07[.5]`, without a zone: the date and the time of day of UTC, or of a local time. */
export const isoDateTime = (time: Nanoseconds): string => {
	const { days, timeOfDay } = splitDay(time);
	const { year, month, day } = civilFromDays(days);
	const seconds = timeOfDay / NANOSECONDS_PER_SECOND;
	const fraction = timeOfDay % NANOSECONDS_PER_SECOND;
	const date = `${isoYear(year)}-${digits(month, 2)}-${digits(day, 2)}`;
	const clock = `${digits(seconds / 3600n, 2)}:${digits((seconds / 60n) % 60n, 2)}:${digits(seconds % 60n, 2)}`;
	return `${date}T${clock}${fraction === 0n ? "" : `.${digits(fraction, 9).replace(/0+$/, "")}`}`;
};

/**
 * An instant as ISO 8601 in UTC, as `Temporal.Instant.toString()` does: `2038-01-19T03:14:07Z`, with as many digits of
 * a second's fraction as are needed.
 */
export const isoInstant = (value: Nanoseconds): string => `${isoDateTime(value)}Z`;
