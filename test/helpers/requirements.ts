/** Programs that a test needs. Where one is missing the test is skipped, loudly; CI has all of them and allows no skip. */
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import type { TestContext } from "node:test";

/** Debian keeps server programs out of PATH. */
const FURTHER = [
	"/usr/lib/postgresql/15/bin",
	"/usr/lib/postgresql/16/bin",
	"/usr/lib/postgresql/17/bin",
	"/usr/sbin",
	"/sbin",
];

/** The path of a program, or undefined. */
export const findTool = (name: string): string | undefined => {
	for (const directory of [...(process.env["PATH"] ?? "").split(delimiter), ...FURTHER]) {
		const file = join(directory, name);
		try {
			accessSync(file, constants.X_OK);
			return file;
		} catch {
			// Look on.
		}
	}
	return undefined;
};

/**
 * Whether every program is there. Otherwise the test is skipped with their names, or, in CI, fails.
 *
 * Usage: `if (!has(t, "gcc", "gdb")) return;`
 */
export const has = (t: TestContext, ...names: readonly string[]): boolean => {
	const missing = names.filter((name) => findTool(name) === undefined);
	if (missing.length === 0) return true;
	return lacks(t, `not installed: ${missing.join(", ")}`);
};

/** Skips the test with a reason; in CI it fails. @returns false */
export const lacks = (t: TestContext, reason: string): false => {
	if (process.env["CI"] === "true") throw new Error(`CI allows no skip: ${reason}`);
	process.stderr.write(`\n*** SKIPPED: ${t.name}: ${reason} ***\n\n`);
	t.skip(reason);
	return false;
};

/** Whether the tests run as root; otherwise skips like `has`. */
export const isRoot = (t: TestContext): boolean => process.getuid?.() === 0 || lacks(t, "needs root");
