/**
 * Time zones: the UTC offset of an IANA zone at an instant, and the instant of a local date-time.
 *
 * A local date-time is held as the nanoseconds it would have as an instant of UTC. The rules are those of Temporal:
 * a local time that occurs twice (clocks set back) is the earlier one, a local time that is skipped (clocks set
 * forward) is read with the offset from before the gap, which moves it forward by the length of the gap.
 *
 * The data is the time zone database inside Node (Intl.DateTimeFormat). Making a formatter costs milliseconds, so UTC
 * has none and other zones have one per opened zone.
 *
 *     const zone = openZone("Europe/Paris");
 *     const instant = instantOfLocal(zone, local);
 */
import { VsyscallError } from "../errors.ts";
import { type Nanoseconds, NANOSECONDS_PER_SECOND, nanoseconds } from "../units.ts";
import { NANOSECONDS_PER_DAY } from "./civil.ts";

export type Zone = {
	readonly name: string;
	/** What is added to UTC at `instant` to get the local time. The instant is in years -9999 to 9999 or a day off. */
	readonly offsetAt: (instant: Nanoseconds) => Nanoseconds;
};

const NANOSECONDS_PER_MILLISECOND = 1_000_000n;
const NANOSECONDS_PER_MINUTE = 60n * NANOSECONDS_PER_SECOND;
const UTC_NAMES = /^(?:Etc\/)?UTC$/i;
/** `timeZoneName: "longOffset"` in English; the seconds are there for local mean time, before zones. */
const LONG_OFFSET = /GMT(?:([+-])(\d\d):(\d\d)(?::(\d\d))?)?$/;

const parseLongOffset = (text: string): Nanoseconds => {
	const match = LONG_OFFSET.exec(text);
	if (match === null) {
		throw new VsyscallError("ERR_VSYSCALL_HOST", `Intl shows no UTC offset in "${text}": Node lacks its ICU data`);
	}
	const [, sign, hours = "0", minutes = "0", seconds = "0"] = match;
	const length = BigInt(Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds)) * NANOSECONDS_PER_SECOND;
	return nanoseconds(sign === "-" ? -length : length);
};

const openFormat = (name: string): Intl.DateTimeFormat | undefined => {
	try {
		return new Intl.DateTimeFormat("en-US", { timeZone: name, timeZoneName: "longOffset" });
	} catch (error) {
		if (error instanceof RangeError) return undefined;
		throw error;
	}
};

/** The zone of an IANA name in any letter case, or undefined when the time zone database does not have it. */
export const openZone = (name: string): Zone | undefined => {
	if (UTC_NAMES.test(name)) return { name, offsetAt: () => nanoseconds(0n) };
	const format = openFormat(name);
	if (format === undefined) return undefined;
	const offsetAt = (instant: Nanoseconds): Nanoseconds => {
		// Towards minus infinity: rounded up, an instant just before a change of offset would be past it.
		const milliseconds = Number(instant / NANOSECONDS_PER_MILLISECOND);
		const isCutUp = instant < 0n && instant % NANOSECONDS_PER_MILLISECOND !== 0n;
		return parseLongOffset(format.format(isCutUp ? milliseconds - 1 : milliseconds));
	};
	return { name, offsetAt };
};

/**
 * The offsets a day before and a day after a local date-time. No zone is a day away from UTC, so these two are on
 * either side of a change of offset near it. Assumes at most one change within the two days, as Temporal does.
 */
const offsetsAround = (zone: Zone, local: Nanoseconds): readonly [before: Nanoseconds, after: Nanoseconds] => [
	zone.offsetAt(nanoseconds(local - NANOSECONDS_PER_DAY)),
	zone.offsetAt(nanoseconds(local + NANOSECONDS_PER_DAY)),
];

/** The instants at which a zone shows a local date-time, earlier first: one, two in an overlap, none in a gap. */
const instantsOfLocal = (zone: Zone, local: Nanoseconds): readonly Nanoseconds[] => {
	const [before, after] = offsetsAround(zone, local);
	const offsets = before === after ? [before] : [before, after];
	return offsets
		.map((offset) => ({ offset, instant: nanoseconds(local - offset) }))
		.filter(({ offset, instant }) => zone.offsetAt(instant) === offset)
		.map(({ instant }) => instant)
		.toSorted((left, right) => (left < right ? -1 : 1));
};

/** The instant of a local date-time, with Temporal's disambiguation "compatible". */
export const instantOfLocal = (zone: Zone, local: Nanoseconds): Nanoseconds => {
	const [earlier] = instantsOfLocal(zone, local);
	return earlier ?? nanoseconds(local - offsetsAround(zone, local)[0]);
};

/** Half a minute away from zero. */
const roundToMinute = (offset: Nanoseconds): bigint => {
	const half = offset < 0n ? -NANOSECONDS_PER_MINUTE / 2n : NANOSECONDS_PER_MINUTE / 2n;
	return ((offset + half) / NANOSECONDS_PER_MINUTE) * NANOSECONDS_PER_MINUTE;
};

/**
 * The instant of a local date-time at which the zone has the given offset of whole minutes, or undefined: Temporal's
 * offset "reject". An offset of the zone that has seconds is rounded for the comparison.
 */
export const instantWithOffset = (zone: Zone, local: Nanoseconds, offset: Nanoseconds): Nanoseconds | undefined =>
	instantsOfLocal(zone, local).find((instant) => roundToMinute(nanoseconds(local - instant)) === offset);
