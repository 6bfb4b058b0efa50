/**
 * A date as strptime(3) reads it, in the C locale: the conversions that make up dates and times of day.
 *
 * Space in the format stands for any space, also none. Numbers may have fewer digits than they could have, and spaces in
 * front.
 */
import { daysFromCivil, daysInMonth, isInRange, NANOSECONDS_PER_DAY } from "../clock/civil.ts";
import type { ClockTime } from "../clock/instant.ts";
import { nanoseconds, NANOSECONDS_PER_SECOND } from "../units.ts";
import { faketimeError } from "./error.ts";

type FieldName = "year" | "month" | "day" | "hour" | "minute" | "second" | "epoch";
type Fields = Partial<Record<FieldName, number>>;

/** Conversions that read a number: its field, its digits, its range. */
const NUMBERS: Readonly<Record<string, readonly [FieldName, pattern: RegExp, first: number, last: number]>> = {
	Y: ["year", /\s*(\d{1,4})/y, 0, 9999],
	m: ["month", /\s*(\d{1,2})/y, 1, 12],
	d: ["day", /\s*(\d{1,2})/y, 1, 31],
	e: ["day", /\s*(\d{1,2})/y, 1, 31],
	H: ["hour", /\s*(\d{1,2})/y, 0, 23],
	M: ["minute", /\s*(\d{1,2})/y, 0, 59],
	S: ["second", /\s*(\d{1,2})/y, 0, 59],
	s: ["epoch", /\s*(-?\d{1,12})/y, -Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
};
/** Conversions that are short for others. */
const SHORTHANDS: Readonly<Record<string, string>> = {
	T: "%H:%M:%S",
	R: "%H:%M",
	F: "%Y-%m-%d",
	n: " ",
	t: " ",
	h: "%b",
	B: "%b",
};
const MONTH_NAMES = [
	"january",
	"february",
	"march",
	"april",
	"may",
	"june",
	"july",
	"august",
	"september",
	"october",
	"november",
	"december",
];

class DateReader {
	readonly fields: Fields = {};
	readonly #text: string;
	#position = 0;

	constructor(text: string) {
		this.#text = text;
	}

	get rest(): string {
		return this.#text.slice(this.#position);
	}

	#take(pattern: RegExp): RegExpExecArray | undefined {
		pattern.lastIndex = this.#position;
		const match = pattern.exec(this.#text) ?? undefined;
		this.#position += match?.[0].length ?? 0;
		return match;
	}

	#number(conversion: string): boolean {
		const number = NUMBERS[conversion];
		if (number === undefined) throw faketimeError(`not yet: FAKETIME_FMT with %${conversion}; use %s or %Y-%m-%d %T`);
		const [field, pattern, first, last] = number;
		const value = Number(this.#take(pattern)?.[1]);
		this.fields[field] = value;
		return value >= first && value <= last;
	}

	/** The longest name that is there, in any letter case. */
	#monthName(): boolean {
		const word = this.#take(/\s*([A-Za-z]{3,9})/y)?.[1]?.toLowerCase();
		const index = MONTH_NAMES.findIndex((name) => name === word || name.slice(0, 3) === word);
		this.fields.month = index + 1;
		return index >= 0;
	}

	/** Whether the text here is as the format says; moves behind it. */
	read(format: string): boolean {
		for (const [part] of format.matchAll(/%.?|\s+|[^%\s]/gsu)) {
			const conversion = part.startsWith("%") ? part.slice(1) : undefined;
			if (!(conversion === undefined ? this.#literal(part) : this.#conversion(conversion))) return false;
		}
		return true;
	}

	#literal(part: string): boolean {
		if (/^\s/.test(part)) this.#take(/\s*/y);
		else if (this.rest.startsWith(part)) this.#position += part.length;
		else return false;
		return true;
	}

	#conversion(conversion: string): boolean {
		if (conversion === "%") return this.#literal("%");
		if (conversion === "b") return this.#monthName();
		const shorthand = SHORTHANDS[conversion];
		return shorthand === undefined ? this.#number(conversion) : this.read(shorthand);
	}
}

const timeOf = (fields: Fields): ClockTime | undefined => {
	const { year, month, day, hour = 0, minute = 0, second = 0, epoch } = fields;
	if (epoch !== undefined) return { kind: "instant", at: nanoseconds(BigInt(epoch) * NANOSECONDS_PER_SECOND) };
	if (year === undefined || month === undefined || day === undefined) return undefined;
	if (day > daysInMonth(BigInt(year), month)) return undefined;
	const seconds = BigInt((hour * 60 + minute) * 60 + second);
	const days = daysFromCivil({ year: BigInt(year), month, day });
	return { kind: "local", dateTime: nanoseconds(days * NANOSECONDS_PER_DAY + seconds * NANOSECONDS_PER_SECOND) };
};

/**
 * Reads a date in front of `text`. Returns it and what is behind it, or undefined when there is none of this format.
 *
 * @throws {VsyscallError} ERR_VSYSCALL_FAKETIME when the format has a conversion that is not served.
 */
export const readDate = (
	text: string,
	format: string,
): { readonly time: ClockTime; readonly rest: string } | undefined => {
	const reader = new DateReader(text);
	if (!reader.read(format)) return undefined;
	const time = timeOf(reader.fields);
	if (time === undefined || !isInRange(time.kind === "instant" ? time.at : time.dateTime)) return undefined;
	return { time, rest: reader.rest };
};
