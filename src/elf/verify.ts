/**
 * The rules of a vDSO image that can be mapped as it stands and given to any program: run over every image of ours before it
 * is used, over the host's by `inspect`, and over both by the tests.
 *
 *     const violations = verifyImage(bytes, "own");
 *     if (violations.length > 0) throw new VsyscallError("ERR_VSYSCALL_IMAGE", violations[0].detail);
 */
import { ElfError } from "./elf-error.ts";
import { type MappableImage, type Rule, readMappableImage } from "./mappable-image.ts";
import { HOST_RULES, WITHOUT_BSS } from "./rules-host.ts";
import { OWN_RULES } from "./rules-own.ts";

/** "host": what the kernel's own image keeps too. "own": that, and what we promise beyond it. */
export type Profile = "host" | "own";

export interface Violation {
	/** `name` of a rule; "size" or "readable" when the bytes are too many or not ELF, so that no rule was checked. */
	readonly rule: string;
	/** What was found, and what was expected. */
	readonly detail: string;
}

/** Rules compare symbols, frames and sections with each other: a vDSO has few. The kernel's has 8 to 12 KiB. */
const LARGEST_BYTES = 64 * 1024;

/** Every rule of a profile, in the order in which they are checked. */
export const RULES: Readonly<Record<Profile, readonly Rule[]>> = {
	host: HOST_RULES,
	own: [...HOST_RULES.filter(({ name }) => name !== WITHOUT_BSS), ...OWN_RULES],
};

/** What `read` gives, or the text of the ElfError that it throws. */
const orError = <Value>(read: () => Value): Value | string => {
	try {
		return read();
	} catch (error) {
		if (error instanceof ElfError) return error.message;
		throw error;
	}
};

const check = (rule: Rule, image: MappableImage): readonly Violation[] => {
	const found = orError(() => rule.check(image));
	const details = typeof found === "string" ? [found] : found;
	return details.map((detail) => ({ rule: rule.name, detail }));
};

/**
 * Checks an image against the rules of a profile.
 *
 * @returns every violation, in the order of `RULES`; none for a good image. Never throws on account of `bytes`.
 */
export const verifyImage = (bytes: Uint8Array, profile: Profile): readonly Violation[] => {
	if (bytes.length > LARGEST_BYTES) {
		return [{ rule: "size", detail: `${bytes.length} bytes, expected at most ${LARGEST_BYTES}` }];
	}
	const image = orError(() => readMappableImage(bytes));
	if (typeof image === "string") return [{ rule: "readable", detail: image }];
	return RULES[profile].flatMap((rule) => check(rule, image));
};
