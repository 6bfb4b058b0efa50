/** Rows of words as columns: each as wide as its widest word, two spaces between them, nothing behind the last. */

/**
 * @param rows the headings, then the rows; each has a word for every column
 * @param numbers how many columns, from the first on, end in line and not begin so
 */
export const table = (rows: readonly (readonly string[])[], numbers: number = 0): string => {
	const widths: number[] = [];
	for (const row of rows) {
		row.forEach((word, column) => (widths[column] = Math.max(widths[column] ?? 0, word.length)));
	}
	return rows
		.map((row) =>
			row
				.map((word, column) =>
					column < numbers ? word.padStart(widths[column] ?? 0) : word.padEnd(widths[column] ?? 0),
				)
				.join("  ")
				.trimEnd(),
		)
		.map((line) => `${line}\n`)
		.join("");
};
