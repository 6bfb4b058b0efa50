/**
 * The variables of faketime that change more of a program's world than the time.
 *
 *     FAKE_UTIME    the times that a program gives to files are faked ones, and the files get real ones
 */
import type { Pretence } from "../syscalls/pretence.ts";
import type { Variables } from "./variables.ts";

/** Those that are read here. */
export const PRETENCE_VARIABLES: readonly string[] = ["FAKE_UTIME"];

/** Empty, a word that begins with y or t, or a number that is not 0 (ftpl_really_init of libfaketime 0.9.10). */
const fakesFileTimes = (variables: Variables): boolean => {
	const value = variables["FAKE_UTIME"];
	return value !== undefined && (value === "" || /^[yt]/i.test(value) || /^\s*[-+]?0*[1-9]/.test(value));
};

/** Undefined when none of them is set. */
export const readPretence = (variables: Variables): Pretence | undefined =>
	fakesFileTimes(variables) ? { fileTimes: true } : undefined;

/** What is said when they do not do what they seem to. */
export const pretenceWarnings = (variables: Variables): readonly string[] => {
	if (!fakesFileTimes(variables) || variables["NO_FAKE_STAT"] !== undefined) return [];
	return [
		"FAKE_UTIME: files get real times, and are shown with them, as with NO_FAKE_STAT=1, which says that this is meant",
	];
};
