/** Pairs of a label and what is to be said of it: labels in one column, long texts broken at words. */

import { isatty, WriteStream } from "node:tty";

/** Below it nothing can be aligned any more. */
const NARROWEST = 40;
const DEFAULT_WIDTH = 80;
const STDOUT = 1;

/** Columns of the terminal; those of a classic one where there is none. */
export const outputWidth = (): number =>
	isatty(STDOUT) ? Math.max(NARROWEST, new WriteStream(STDOUT).columns) : DEFAULT_WIDTH;

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
