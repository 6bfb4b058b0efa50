/**
 * The variables of faketime that change more of a program's world than the time.
 *
 *     FAKE_UTIME         the times that a program gives to files are faked ones, and the files get real ones
 *     FAKETIME_FAKEPID   what getpid says; the option -p is the same
 */
import { quoted } from "../clock/clock-spec-error.ts";
import type { Pretence } from "../syscalls/pretence.ts";
import { faketimeError } from "./error.ts";
import type { Variables } from "./variables.ts";

const PID = "FAKETIME_FAKEPID";

/** Those that are read here. */
export const PRETENCE_VARIABLES: readonly string[] = ["FAKE_UTIME", PID];

/** Empty, a word that begins with y or t, or a number that is not 0 (ftpl_really_init of libfaketime 0.9.10). */
const fakesFileTimes = (variables: Variables): boolean => {
	const value = variables["FAKE_UTIME"];
	return value !== undefined && (value === "" || /^[yt]/i.test(value) || /^\s*[-+]?0*[1-9]/.test(value));
};

const LAST_PID = 0x7fff_ffff;

/** A number as strtol(3) reads it with base 0; undefined for what is none. */
const readInteger = (text: string): bigint | undefined => {
	const [, sign = "", digits = ""] = /^([-+]?)(0x[\da-f]{1,40}|\d{1,40})$/i.exec(text) ?? [];
	if (digits === "" || /^0\d*[89]/.test(digits)) return undefined;
	const value = BigInt(/^0\d/.test(digits) ? `0o${digits.slice(1)}` : digits);
	return sign === "-" ? -value : value;
};

/** @throws {VsyscallError} ERR_VSYSCALL_FAKETIME when it is none. */
const readPid = (name: string, text: string): number => {
	const pid = readInteger(text) ?? 0n;
	if (pid >= 1n && pid <= LAST_PID) return Number(pid);
	throw faketimeError(`${name}=${quoted(text)}: expected the id of a process, from 1 to ${LAST_PID}`);
};

/**
 * Undefined when none of them is set.
 *
 * @param pidOption what stands behind -p, which is before the variable
 * @throws {VsyscallError} ERR_VSYSCALL_FAKETIME when one has no value that it can have.
 */
export const readPretence = (variables: Variables, pidOption: string | undefined): Pretence | undefined => {
	const fileTimes = fakesFileTimes(variables);
	const text = pidOption ?? variables[PID] ?? "";
	const pid = text === "" ? undefined : readPid(pidOption === undefined ? PID : "-p", text);
	return pid === undefined && !fileTimes ? undefined : { fileTimes, pid };
};

/** What is said when they do not do what they seem to. */
export const pretenceWarnings = (variables: Variables): readonly string[] => {
	if (!fakesFileTimes(variables) || variables["NO_FAKE_STAT"] !== undefined) return [];
	return [
		"FAKE_UTIME: files get real times, and are shown with them, as with NO_FAKE_STAT=1, which says that this is meant",
	];
};
