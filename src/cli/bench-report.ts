/** What `vsyscall bench` prints: tables of at most 80 columns, and one object for --json. */
import type { BenchResult } from "../bench/bench.ts";
import type { GroupResult, WayResult } from "../bench/measure.ts";
import type { Bucket, Quartiles } from "../bench/statistics.ts";
import { paint } from "./format/colour.ts";
import { table } from "./format/table.ts";
import { VERSION } from "./version.ts";

/** Three digits that mean something, or whole numbers. */
const figure = (value: number): string => value.toFixed(value < 10 ? 2 : value < 1000 ? 1 : 0);

/** A length of time below a power of two of nanoseconds: "16ns", "8us" for 8192, "4ms". */
export const power = (nanoseconds: number): string => {
	if (nanoseconds < 1024) return `${nanoseconds}ns`;
	if (nanoseconds < 1024 ** 2) return `${nanoseconds / 1024}us`;
	return nanoseconds < 1024 ** 3 ? `${nanoseconds / 1024 ** 2}ms` : `${nanoseconds / 1024 ** 3}s`;
};

const alignRight = (words: readonly string[]): readonly string[] => {
	const width = Math.max(...words.map((word) => word.length));
	return words.map((word) => word.padStart(width));
};

/** Columns of words -> rows, numbers to the right. */
const rowsOf = (names: readonly string[], columns: readonly (readonly string[])[]): readonly (readonly string[])[] => {
	const aligned = columns.map(alignRight);
	return names.map((name, row) => [name, ...aligned.map((column) => column[row] ?? "")]);
};

const spread = ({ lower, upper }: Quartiles): string => `${figure(lower)} - ${figure(upper)}`;

const namesOf = (ways: readonly WayResult[], width: number): readonly string[] => [
	"".padEnd(width),
	...ways.map(({ name }) => `  ${name}`),
];

const costs = ({ ways }: GroupResult, width: number): string => {
	const ratio = (of: (ratio: Quartiles) => string): readonly string[] =>
		ways.map((way) => (way.ratio === undefined ? "-" : of(way.ratio)));
	return table(
		rowsOf(namesOf(ways, width), [
			["ns", ...ways.map(({ nanoseconds }) => figure(nanoseconds.median))],
			["quartiles", ...ways.map(({ nanoseconds }) => spread(nanoseconds))],
			["ratio", ...ratio(({ median }) => figure(median))],
		]),
	);
};

/** The buckets that are shown of a histogram. */
const SHOWN = 3;

const share = (count: number, total: number): string => `${((100 * count) / total).toFixed(1)}%`;

/** The fullest buckets in ascending order, and how far the widest difference goes. */
const differences = (histogram: readonly Bucket[]): readonly string[] => {
	const total = histogram.reduce((sum, { count }) => sum + count, 0);
	const fullest = new Set(histogram.toSorted((a, b) => b.count - a.count).slice(0, SHOWN));
	const shown = histogram
		.filter((bucket) => fullest.has(bucket))
		.map(({ below, count }) => `${below === 1 ? "0" : `<${power(below)}`} ${share(count, total)}`);
	const widest = histogram.at(-1)?.below ?? 1;
	return [
		...shown,
		...Array.from({ length: SHOWN - shown.length }, () => ""),
		widest === 1 ? "0" : `<${power(widest)}`,
	];
};

const HEADINGS = ["next read", ...Array.from({ length: SHOWN - 1 }, () => ""), "widest"];

const histograms = ({ ways }: GroupResult, width: number): string => {
	const cells = ways.map(({ readings }) => differences(readings.histogram));
	const columns = HEADINGS.map((heading, index) => [heading, ...cells.map((row) => row[index] ?? "")]);
	return table(rowsOf(namesOf(ways, width), columns));
};

const COLUMNS = 80;

/** Lines of at most 80 columns, all but the first one indented further. */
const wrapped = (text: string): string => {
	const lines = [""];
	for (const word of text.trim().split(" ")) {
		const line = `${lines.at(-1) ?? ""} ${word}`;
		if (line.length < COLUMNS) lines[lines.length - 1] = line;
		else lines.push(`    ${word}`);
	}
	return lines.map((line) => ` ${line}\n`).join("");
};

const leftOut = ({ unavailable }: GroupResult): string =>
	unavailable.map(({ name, reason }) => wrapped(`${name}: ${reason}`)).join("");

const waysOf = ({ groups }: BenchResult): readonly WayResult[] => groups.flatMap(({ ways }) => ways);

/** Whether a reading was before the one in front of it. */
export const wentBack = (result: BenchResult): boolean => waysOf(result).some(({ readings }) => readings.backward > 0);

const verdict = (result: BenchResult): string => {
	const reads = waysOf(result).reduce((sum, { readings }) => sum + readings.count, 0);
	const back = waysOf(result).filter(({ readings }) => readings.backward > 0);
	if (back.length === 0) return `No clock went back in ${reads.toLocaleString("en")} reads.\n`;
	return back
		.map(
			({ name, readings }) =>
				`${name} went back ${readings.backward} times in ${readings.count.toLocaleString("en")} reads, by up to ${readings.largestBackward} ns.\n`,
		)
		.join("");
};

export const benchAsText = (result: BenchResult): string => {
	const { cpu, processors, kernel, clockSource } = result.machine;
	const width = Math.max(0, ...waysOf(result).map(({ name }) => name.length + 2));
	const sections = result.groups.map((group) => {
		const isEmpty = group.ways.length === 0;
		const [cost, next] = isEmpty ? ["", ""] : [costs(group, width), `\n${histograms(group, width)}`];
		return [`${paint("bold", group.title)}\n`, cost, leftOut(group), next].join("");
	});
	return [
		`${cpu}, ${processors} processors\n`,
		`Linux ${kernel}, clock source ${clockSource}\n\n`,
		`A call: median and quartiles of ${result.rounds} rounds; ratio to the host's vDSO.\n`,
		`Next read: how much later it was than the one in front of it.\n`,
		...sections.map((text) => `\n${text}`),
		`\n${verdict(result)}`,
	].join("");
};

const rounded = (value: number): number => Math.round(value * 1000) / 1000;

const quartiles = ({ lower, median, upper }: Quartiles): Quartiles => ({
	lower: rounded(lower),
	median: rounded(median),
	upper: rounded(upper),
});

/** As docs/bench.schema.json says. */
export const benchAsJson = (result: BenchResult): unknown => ({
	version: VERSION,
	machine: result.machine,
	rounds: result.rounds,
	groups: result.groups.map(({ id, title, ways, unavailable }) => ({
		id,
		title,
		ways: ways.map((way) => ({
			id: way.id,
			name: way.name,
			by: way.by,
			nanoseconds: quartiles(way.nanoseconds),
			ratio: way.ratio === undefined ? null : quartiles(way.ratio),
			readings: way.readings,
		})),
		unavailable,
	})),
});
