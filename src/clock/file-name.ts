/**
 * The name of a file in a clock spec, behind "%":
 *
 *     %/tmp/now           to the next space
 *     %"/tmp/the time"    in quotes, with \" and \\ inside
 */
import type { SpecCursor } from "./spec-cursor.ts";

const QUOTED = /"(?:[^"\\]|\\["\\])*"/y;
const EXAMPLE = "%/tmp/now";

const takeName = (cursor: SpecCursor): string => {
	if (cursor.peek(/"/y) === undefined) return cursor.take(/[^ ]+/y) ?? "";
	const text = cursor.take(QUOTED);
	if (text === undefined) throw cursor.error(`expected a name in quotes, with \\" and \\\\ inside`, '%"/tmp/the time"');
	return text.slice(1, -1).replace(/\\(["\\])/g, "$1");
};

/** Reads the name of a file behind its "%". */
export const readFileName = (cursor: SpecCursor): string => {
	const start = cursor.position;
	const name = takeName(cursor);
	if (name === "") throw cursor.error("expected the name of a file", EXAMPLE, start);
	if (name.includes("\0")) throw cursor.error("a file has no NUL in its name", EXAMPLE, start);
	return name;
};

/** A file as the grammar has it, with its "%". */
export const formatFileName = (name: string): string =>
	name.includes(" ") || name.startsWith('"') ? `%"${name.replace(/["\\]/g, "\\$&")}"` : `%${name}`;
