/** Charts of a group as SVG text: costs on a logarithmic axis, and the histograms of successive reads. Colours are classes. */
import type { GroupResult, WayResult } from "./measure.ts";

const ENTITIES: Readonly<Record<string, string>> = {
	"&": "&amp;",
	"<": "&lt;",
	">": "&gt;",
	'"': "&quot;",
	"'": "&#39;",
};

/** Text as it may stand in HTML and SVG. */
export const escapeMarkup = (text: string): string => text.replace(/[&<>"']/g, (mark) => ENTITIES[mark] ?? mark);

/** Three digits that mean something, in the unit that keeps them few: "15.4 ns", "13.8 µs". */
export const duration = (nanoseconds: number): string => {
	const [value, unit] = nanoseconds < 1000 ? [nanoseconds, "ns"] : [nanoseconds / 1000, "µs"];
	return `${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ${unit}`;
};

export const ratioOf = ({ ratio }: WayResult): string => {
	if (ratio === undefined) return "";
	return `× ${ratio.median.toFixed(ratio.median < 10 ? 2 : 0)}`;
};

/** Widths and heights in CSS pixels at the chart's own size. */
const WIDTH = 760;
const NAMES = 190;
const FIGURES = 130;
const ROW = 26;
const AXIS = 30;
const PLOT = { start: NAMES, end: WIDTH - FIGURES } as const;

/** "1 ns", "10 ns", ... "1 ms" */
const powerOfTen = (exponent: number): string => {
	const value = 10 ** (exponent % 3);
	return `${value} ${["ns", "µs", "ms", "s"][Math.floor(exponent / 3)] ?? ""}`;
};

const place = (x: number): string => x.toFixed(1);

interface Drawing {
	readonly id: string;
	readonly title: string;
	/** What a reader who cannot see it is told. */
	readonly description: string;
	readonly height: number;
	readonly marks: readonly string[];
}

const svg = ({ id, title, description, height, marks }: Drawing): string =>
	[
		`<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-labelledby="${id}-title ${id}-description">`,
		`<title id="${id}-title">${escapeMarkup(title)}</title>`,
		`<desc id="${id}-description">${escapeMarkup(description)}</desc>`,
		...marks,
		"</svg>",
	].join("\n");

const text = (x: number, y: number, words: string, attributes = ""): string =>
	`<text x="${place(x)}" y="${place(y)}"${attributes}>${escapeMarkup(words)}</text>`;

const TO_THE_LEFT = ' text-anchor="end"';

/** A logarithmic axis that has room for all values. */
const axisOf = (values: readonly number[]) => {
	const low = Math.floor(Math.log10(Math.min(...values)));
	const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values))));
	const step = (PLOT.end - PLOT.start) / (high - low);
	return {
		at: (value: number): number => PLOT.start + step * (Math.log10(value) - low),
		exponents: Array.from({ length: high - low + 1 }, (_, index) => low + index),
	};
};

/** A point for each median, a line from quartile to quartile, on a logarithmic axis of time. */
export const costChart = ({ id, title, ways }: GroupResult): string => {
	const { at, exponents } = axisOf(ways.flatMap(({ nanoseconds: { lower, upper } }) => [Math.max(lower, 0.1), upper]));
	const bottom = ROW * ways.length + 8;
	const grid = exponents.flatMap((exponent) => {
		const x = at(10 ** exponent);
		const label = exponent < 0 ? `${10 ** exponent} ns` : powerOfTen(exponent);
		return [
			`<line class="grid" x1="${place(x)}" x2="${place(x)}" y1="0" y2="${bottom}"/>`,
			text(x, bottom + 18, label, ' class="axis" text-anchor="middle"'),
		];
	});
	const rows = ways.flatMap((way, index) => {
		const y = ROW * index + ROW / 2 + 4;
		const { lower, median, upper } = way.nanoseconds;
		const [from, to] = [at(Math.max(lower, 0.1)), at(upper)];
		const tip = `${way.name}: ${duration(median)}, quartiles ${duration(lower)} and ${duration(upper)}`;
		return [
			text(NAMES - 12, y + 4, way.name, TO_THE_LEFT),
			`<line class="leader" x1="${PLOT.start}" x2="${place(at(median))}" y1="${y}" y2="${y}"/>`,
			`<line class="spread ${way.by}" x1="${place(from)}" x2="${place(to)}" y1="${y}" y2="${y}"/>`,
			`<circle class="median ${way.by}" cx="${place(at(median))}" cy="${y}" r="6"><title>${escapeMarkup(tip)}</title></circle>`,
			text(WIDTH - 64, y + 4, duration(median), TO_THE_LEFT),
			text(WIDTH, y + 4, ratioOf(way), `${TO_THE_LEFT} class="ratio"`),
		];
	});
	const description = ways.map((way) => `${way.name} ${duration(way.nanoseconds.median)}`).join(", ");
	const marks = [...grid, ...rows];
	return svg({ id: `cost-${id}`, title: `${title}: cost of a call`, description, height: bottom + AXIS, marks });
};

/** log2 of a bucket's bound -> its words. */
const bound = (exponent: number): string => {
	if (exponent === 0) return "0";
	const [unit, rest] = [["ns", "µs", "ms", "s"][Math.floor(exponent / 10)] ?? "", exponent % 10];
	return `<${2 ** rest} ${unit}`;
};

const HISTOGRAM_ROW = 34;
/** Of a bucket that has only a few. */
const BAR_MIN = 1.5;

/** A row of bars for each way: how many reads were how much later than the one in front, in powers of two. */
export const histogramChart = ({ id, title, ways }: GroupResult): string => {
	const last = Math.max(...ways.flatMap(({ readings }) => readings.histogram.map(({ below }) => Math.log2(below))), 1);
	// The last label is wider than its bar.
	const step = (WIDTH - PLOT.start - 12) / (last + 1);
	const bottom = HISTOGRAM_ROW * ways.length + 4;
	const every = Math.ceil(52 / step);
	const axis = Array.from({ length: last + 1 }, (_, exponent) => exponent)
		.filter((exponent) => exponent % every === 0)
		.map((exponent) =>
			text(PLOT.start + step * (exponent + 0.5), bottom + 18, bound(exponent), ' class="axis" text-anchor="middle"'),
		);
	const rows = ways.flatMap(({ name, by, readings }, index) => {
		const base = HISTOGRAM_ROW * (index + 1) - 2;
		const total = readings.histogram.reduce((sum, { count }) => sum + count, 0);
		const bars = readings.histogram.map(({ below, count }) => {
			const exponent = Math.log2(below);
			const height = Math.max(BAR_MIN, ((HISTOGRAM_ROW - 6) * count) / total);
			const tip = `${name}: ${below === 1 ? "equal" : bound(exponent)}, ${count} of ${total}`;
			return `<rect class="bucket ${by}" x="${place(PLOT.start + step * exponent + 1)}" y="${place(base - height)}" width="${place(step - 2)}" height="${place(height)}"><title>${escapeMarkup(tip)}</title></rect>`;
		});
		return [
			text(NAMES - 12, base - 6, name, TO_THE_LEFT),
			`<line class="grid" x1="${PLOT.start}" x2="${WIDTH}" y1="${base}" y2="${base}"/>`,
			...bars,
		];
	});
	const description = `From one read to the next, in powers of two: ${ways
		.map(({ name, readings }) => {
			const fullest = readings.histogram.toSorted((a, b) => b.count - a.count)[0];
			return `${name} mostly ${bound(Math.log2(fullest?.below ?? 1))}`;
		})
		.join(", ")}`;
	return svg({
		id: `histogram-${id}`,
		title: `${title}: from one read to the next`,
		description,
		height: bottom + AXIS,
		marks: [...axis, ...rows],
	});
};
