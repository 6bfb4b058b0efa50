/**
 * The variables of faketime that change more of a program's world than the time.
 *
 *     FAKE_UTIME         the times that a program gives to files are faked ones, and the files get real ones
 *     FAKETIME_FAKEPID   what getpid says; the option -p is the same
 *     FAKERANDOM_SEED    what getrandom is answered from
 */
import { quoted } from "../clock/clock-spec-error.ts";
import type { Pretence } from "../syscalls/pretence.ts";
import { faketimeError } from "./error.ts";
import type { Variables } from "./variables.ts";

const PID = "FAKETIME_FAKEPID";
const SEED = "FAKERANDOM_SEED";

/** Those that are read here. */
export const PRETENCE_VARIABLES: readonly string[] = ["FAKE_UTIME", PID, SEED];

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

const LAST_SEED = 2n ** 63n - 1n;
const clamped = (value: bigint): bigint => {
	if (value > LAST_SEED) return LAST_SEED;
	return value < -LAST_SEED - 1n ? -LAST_SEED - 1n : value;
};

/** Undefined when it is not set. @throws {VsyscallError} ERR_VSYSCALL_FAKETIME when it is no number. */
const readSeed = (variables: Variables): bigint | undefined => {
	const text = variables[SEED] ?? "";
	if (text === "") return undefined;
	const seed = readInteger(text);
	if (seed !== undefined) return seed;
	throw faketimeError(`${SEED}=${quoted(text)}: expected a whole number of 64 bits, for example 0x12345678DEADBEEF`);
};

const seedWarnings = (variables: Variables): readonly string[] => {
	const seed = readSeed(variables);
	if (seed === 0n) return [`${SEED}=0 gives nothing but zeros`];
	if (seed === undefined || seed === clamped(seed)) return [];
	return [
		`${SEED}=${variables[SEED] ?? ""} is out of the range of 64 bits with a sign, and taken for ${clamped(seed)}`,
	];
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
	const seed = readSeed(variables);
	if (pid === undefined && seed === undefined && !fileTimes) return undefined;
	return { fileTimes, pid, seed: seed === undefined ? undefined : clamped(seed) };
};

/** What is said when they do not do what they seem to. */
export const pretenceWarnings = (variables: Variables): readonly string[] => {
	const warnings = seedWarnings(variables);
	if (!fakesFileTimes(variables) || variables["NO_FAKE_STAT"] !== undefined) return warnings;
	return [
		...warnings,
		"FAKE_UTIME: files get real times, and are shown with them, as with NO_FAKE_STAT=1, which says that this is meant",
	];
};
