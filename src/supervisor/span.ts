/** `--after` and `--for`: the part of a run in which its clock is what the spec says. */
import { isClockName } from "../clock-file/clock-name.ts";
import { parseDuration } from "../clock/duration-grammar.ts";
import type { Moment, Span } from "../clock/span.ts";
import { VsyscallError } from "../errors.ts";

/** Durations or numbers of reads as they are typed, and the clock that they are about. */
export interface SpanFlags {
	readonly clock: string;
	readonly after?: string | undefined;
	readonly for?: string | undefined;
}

const spanError = (message: string): VsyscallError => new VsyscallError("ERR_VSYSCALL_SPAN", message);

const COUNT = /^(\d{1,15})reads?$/;

/** Undefined for no time at all. */
const readMoment = (option: string, text: string): Moment | undefined => {
	const [, count] = COUNT.exec(text) ?? [];
	if (count !== undefined) return Number(count) === 0 ? undefined : { reads: Number(count) };
	const { sign, months, exact } = parseDuration(text);
	if (sign < 0) throw spanError(`--${option}=${text} leads back: a run has no time before its start`);
	if (months === 0n) return exact === 0n ? undefined : { delay: exact };
	throw spanError(
		`--${option}=${text} has months or years, whose length varies: give days, for example --${option}=30d`,
	);
};

/**
 * Undefined for the whole run.
 *
 * @throws {VsyscallError} ERR_VSYSCALL_SPAN when a duration cannot be the one of a part of a run, or the clock is not the run's own.
 * @throws {ClockSpecError} ERR_VSYSCALL_CLOCK_SPEC when it is neither a duration nor a number of reads.
 */
export const parseSpan = (flags: SpanFlags): Span | undefined => {
	if (flags.after === undefined && flags.for === undefined) return undefined;
	const given = flags.after === undefined ? "--for" : "--after";
	if (flags.clock === "host") throw spanError(`${given} needs a --clock: without one it is the host's all the time`);
	if (isClockName(flags.clock)) {
		const hint = `vsyscall clock set ${flags.clock} SPEC changes it at any time`;
		throw spanError(`${given} changes the clock of one run, and ${flags.clock} is shared with others; ${hint}`);
	}
	const length = flags.for === undefined ? undefined : readMoment("for", flags.for);
	if (flags.for !== undefined && length === undefined) {
		throw spanError(`--for=${flags.for} is no time at all: leave out --clock`);
	}
	const begin = flags.after === undefined ? undefined : readMoment("after", flags.after);
	return { begins: begin === undefined ? [] : [begin], ends: [], length };
};
