/** The result as one page that needs nothing else: charts as SVG, the figures as tables, light and dark. */
import type { BenchResult } from "./bench.ts";
import type { GroupResult, WayResult } from "./measure.ts";
import { costChart, duration, escapeMarkup, histogramChart, ratioOf } from "./svg.ts";

const STYLE = `
:root { color-scheme: light dark; --page: #fcfcfb; --text: #1c1b1a; --muted: #605d58; --line: #dddad4; --host: #6f6c66; --vsyscall: #1864ab; --libfaketime: #b35900; }
@media (prefers-color-scheme: dark) { :root { --page: #191817; --text: #eceae6; --muted: #a8a49c; --line: #3a3835; --host: #a8a49c; --vsyscall: #6db3f2; --libfaketime: #f0a04b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1rem 4rem; max-width: 52rem; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; } h3 { font-size: 1rem; margin: 1.25rem 0 .25rem; font-weight: 600; }
p { margin: .25rem 0; } .muted, .axis { color: var(--muted); fill: var(--muted); }
svg { display: block; width: 100%; height: auto; font: 13px system-ui, sans-serif; fill: var(--text); font-variant-numeric: tabular-nums; }
svg .axis { font-size: 11px; } svg .ratio { font-weight: 600; }
.grid { stroke: var(--line); } .leader { stroke: var(--line); stroke-dasharray: 1 4; }
.spread { stroke-width: 3; stroke-linecap: round; opacity: .55; }
.host { fill: var(--host); stroke: var(--host); } .vsyscall { fill: var(--vsyscall); stroke: var(--vsyscall); } .libfaketime { fill: var(--libfaketime); stroke: var(--libfaketime); }
.median, .bucket { stroke: none; }
.legend { display: flex; gap: 1.25rem; flex-wrap: wrap; list-style: none; margin: .75rem 0 0; padding: 0; }
.legend svg { display: inline-block; width: .8em; height: .8em; vertical-align: baseline; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .2rem .75rem .2rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; font-weight: normal; }
th:first-child { text-align: left; } thead th { color: var(--muted); }
summary { cursor: pointer; color: var(--muted); margin-top: .75rem; }
`.trim();

const LEGEND = (
	[
		["host", "the kernel"],
		["vsyscall", "a run of vsyscall"],
		["libfaketime", "libfaketime"],
	] as const
)
	.map(
		([by, words]) =>
			`<li><svg viewBox="0 0 10 10" aria-hidden="true"><circle class="${by}" cx="5" cy="5" r="5"/></svg> ${words}</li>`,
	)
	.join("");

const row = (way: WayResult): string => {
	const { lower, median, upper } = way.nanoseconds;
	const { count, backward } = way.readings;
	const cells = [duration(median), duration(lower), duration(upper), ratioOf(way), String(count), String(backward)];
	return `<tr><th scope="row">${escapeMarkup(way.name)}</th>${cells.map((cell) => `<td>${escapeMarkup(cell)}</td>`).join("")}</tr>`;
};

const HEADINGS = ["", "median", "lower quartile", "upper quartile", "to the host's vDSO", "reads", "went back"];

const section = (group: GroupResult): string => {
	const { title, ways, unavailable } = group;
	const missing = unavailable.map(({ name, reason }) => `<p class="muted">${escapeMarkup(`${name}: ${reason}`)}</p>`);
	const heading = `<section>\n<h2>${escapeMarkup(title)}</h2>`;
	if (ways.length === 0) return [heading, ...missing, "</section>"].join("\n");
	return [
		heading,
		"<h3>Cost of a call</h3>",
		costChart(group),
		...missing,
		"<h3>From one read to the next</h3>",
		histogramChart(group),
		"<details>\n<summary>Figures</summary>",
		'<div class="scroll"><table>',
		`<thead><tr>${HEADINGS.map((words) => `<th scope="col">${escapeMarkup(words)}</th>`).join("")}</tr></thead>`,
		`<tbody>${ways.map(row).join("\n")}</tbody>`,
		"</table></div>\n</details>\n</section>",
	].join("\n");
};

export const benchAsHtml = (result: BenchResult): string => {
	const { cpu, processors, kernel, clockSource } = result.machine;
	const ways = result.groups.flatMap((group) => group.ways);
	const reads = ways.reduce((sum, { readings }) => sum + readings.count, 0);
	const back = ways.filter(({ readings }) => readings.backward > 0);
	const verdict =
		back.length === 0
			? `No clock went back in ${reads.toLocaleString("en")} reads.`
			: `${back.map(({ name }) => name).join(", ")} went back.`;
	return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>What it costs to ask for the time</title>
<link rel="icon" href="data:,">
<style>
${STYLE}
</style>
</head>
<body>
<main>
<h1>What it costs to ask for the time</h1>
<p>${escapeMarkup(`${cpu}, ${processors} processors, Linux ${kernel}, clock source ${clockSource}`)}</p>
<p class="muted">Medians of ${result.rounds} rounds that ask all ways in turn; lines go from quartile to quartile; × is the ratio to the host's vDSO in the same process.</p>
<ul class="legend">${LEGEND}</ul>
${result.groups.map(section).join("\n")}
<p><strong>${escapeMarkup(verdict)}</strong></p>
</main>
</body>
</html>
`;
};
