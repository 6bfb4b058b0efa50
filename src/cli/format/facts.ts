/** Pairs of a label and what is to be said of it: labels in one column, long texts broken at words. */

import { isatty, WriteStream } from "node:tty";

/** Below it nothing can be aligned any more. */
const NARROWEST = 40;
const DEFAULT_WIDTH = 80;
const STDOUT = 1;

/** Columns of the terminal; those of a classic one where there is none, or one that does not know. */
export const outputWidth = (): number => {
	const columns = isatty(STDOUT) ? new WriteStream(STDOUT).columns : 0;
	return columns > 0 ? Math.max(NARROWEST, columns) : DEFAULT_WIDTH;
};

/** The words of a text in lines of at most `width` columns; a longer word has a line of its own. */
export const wrap = (text: string, width: number): readonly string[] => {
	const lines: string[] = [];
	let line = "";
	for (const word of text.split(" ")) {
		if (line !== "" && line.length + 1 + word.length > width) {
			lines.push(line);
			line = word;
		} else line = line === "" ? word : `${line} ${word}`;
	}
	return [...lines, line];
};

/** @param rows label and text; a row whose label is empty goes on with the one before */
export const facts = (
	rows: readonly (readonly [label: string, text: string])[],
	width: number = outputWidth(),
): string => {
	const column = rows.reduce((longest, [label]) => Math.max(longest, label.length), 0) + 2;
	return rows
		.flatMap(([label, text]) =>
			wrap(text, width - column).map((line, index) => `${(index === 0 ? label : "").padEnd(column)}${line}`.trimEnd()),
		)
		.map((line) => `${line}\n`)
		.join("");
};
