/** What just-in-time compilers write of their code: tools/perf/Documentation/jit-interface.txt, v6.18. */

export interface CompiledFunction {
	readonly start: bigint;
	/** Of the first byte behind it. */
	readonly end: bigint;
	readonly name: string;
}

export const perfMapOf = (pid: number): string => `/tmp/perf-${pid}.map`;

const LINE = /^(?:0x)?([0-9a-f]+) (?:0x)?([0-9a-f]+) (.+)$/;

/** Lines `START SIZE NAME`, the numbers in hexadecimal; others are passed over, such as one that is being written. */
export const parsePerfMap = (text: string): readonly CompiledFunction[] =>
	text.split("\n").flatMap((line) => {
		const [, start, size, name] = LINE.exec(line) ?? [];
		if (start === undefined || size === undefined || name === undefined) return [];
		const from = BigInt(`0x${start}`);
		return [{ start: from, end: from + BigInt(`0x${size}`), name }];
	});
