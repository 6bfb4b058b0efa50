/** The report of `vsyscall stat`: as text for people, and as JSON. */
import { basename } from "node:path";
import { type Call, clockName } from "../../observation/calls.ts";
import type { StatReport } from "../../supervisor/observation/statistics.ts";
import { table } from "./table.ts";

/** "clock_gettime REALTIME", "syscall clock_gettime REALTIME", "page time", "i386 time" */
export const labelOf = ({ way, name, bits, clock }: Call): string => {
	const words = [name, ...(clock === undefined ? [] : [clockName(clock).replace(/^CLOCK_|_ID$/g, "")])];
	return [...(bits === 32 ? ["i386"] : []), ...(way === "vdso" ? [] : [way]), ...words].join(" ");
};

const grouped = (count: number): string => String(count).replace(/\B(?=(\d{3})+$)/g, ",");

const UNITS = ["", "k", "M", "G"] as const;

/** Three digits and a unit. */
const short = (value: number): string => {
	let [rest, unit] = [value, 0];
	while (rest >= 999.5 && unit < UNITS.length - 1) [rest, unit] = [rest / 1000, unit + 1];
	return `${rest.toFixed(rest < 9.995 ? 2 : rest < 99.95 ? 1 : 0)}${UNITS[unit] ?? ""}`;
};

const counted = (count: number, one: string, many: string): string => `${grouped(count)} ${count === 1 ? one : many}`;

const processorSeconds = ({ processorTime: { user, system } }: StatReport): number => user + system;

const costOf = ({ count, nanosecondsEach }: StatReport["calls"][number]): number | undefined =>
	nanosecondsEach === undefined ? undefined : (count * nanosecondsEach) / 1e9;

/** A part of the processor time in percent; undefined when the run used too little of it to tell. */
const shareOf = (report: StatReport, seconds: number | undefined): number | undefined => {
	const all = processorSeconds(report);
	return seconds === undefined || all === 0 ? undefined : (100 * seconds) / all;
};

const fixed = (value: number | undefined, digits: number): string =>
	value === undefined ? "-" : value.toFixed(digits);

const callTable = (report: StatReport): string => {
	const costs = report.calls.map(costOf);
	const totalCost = costs.reduce<number>((sum, cost) => sum + (cost ?? 0), 0);
	const total = report.calls.reduce((sum, { count }) => sum + count, 0);
	const rows = report.calls.map((call, index) => [
		grouped(call.count),
		short(call.perSecond),
		fixed(call.nanosecondsEach, 1),
		fixed(costs[index], 4),
		fixed(shareOf(report, costs[index]), 2),
		labelOf(call),
	]);
	const last = [
		grouped(total),
		short(total / report.seconds),
		"",
		totalCost.toFixed(4),
		fixed(shareOf(report, totalCost), 2),
		"all",
	];
	return table([["calls", "per s", "ns each", "seconds", "CPU %", "function"], ...rows, last], 5);
};

const processTable = ({ processes }: StatReport, limit: number): string => {
	const calling = processes.filter(({ count }) => count > 0);
	const rows = calling
		.slice(0, limit)
		.map(({ pid, count, calls: [first], program, isForked }) => [
			grouped(count),
			pid === undefined ? "-" : String(pid),
			`${basename(program)}${isForked ? " (forked)" : ""}`,
			first === undefined ? "" : `${grouped(first.count)} ${labelOf(first)}`,
		]);
	const more = calling.length - rows.length;
	return `${table([["calls", "pid", "program", "most of them"], ...rows], 2)}${more > 0 ? `and ${counted(more, "process", "processes")} more\n` : ""}`;
};

const callerTable = ({ callers, calls }: StatReport, limit: number): string => {
	const total = calls.reduce((sum, { count }) => sum + count, 0);
	const row = (count: number, ...words: readonly string[]): readonly string[] => [
		grouped(count),
		((100 * count) / total).toFixed(1),
		...words,
	];
	const rows = callers.slice(0, limit).map((caller) => row(caller.count, labelOf(caller), caller.caller));
	const rest = total - callers.reduce((sum, { count }) => sum + count, 0);
	const unknown = rest / total < 0.001 ? [] : [row(rest, "", "not sampled")];
	return table([["calls", "%", "function", "caller"], ...rows, ...unknown], 2);
};

/** What a line may have: the last column of a table can be of any length. */
const COLUMNS = 80;

const clipped = (text: string): string =>
	text.replace(new RegExp(`^(.{${COLUMNS - 1}}).{2,}$`, "gm"), (_, kept: string) => `${kept}…`);

/** @param limit how many processes and callers are shown */
export const statText = (report: StatReport, limit: number, bold: (text: string) => string): string => {
	const { processes, seconds, unattributed, callers, calls } = report;
	const head = `${counted(processes.length, "program", "programs")} executed or forked, ${seconds.toFixed(3)} s, ${processorSeconds(report).toFixed(3)} s of processor time\n`;
	if (calls.length === 0) return `${head}no call was counted\n${notes(report)}`;
	const sections = [callTable(report)];
	if (processes.filter(({ count }) => count > 0).length > 1) sections.push(processTable(report, limit));
	if (callers.length > 0) {
		const samples = callers.reduce((sum, caller) => sum + caller.samples, 0);
		sections.push(`${callerTable(report, limit)}estimated from ${counted(samples, "sample", "samples")}\n`);
	}
	const text = sections.map((section) => clipped(section).replace(/^.*/, bold)).join("\n");
	const lost =
		unattributed === 0 ? "" : `${counted(unattributed, "call", "calls")} of processes that had no slot left\n`;
	return `${head}\n${text}${lost}${notes(report)}`;
};

const notes = ({ processes }: StatReport): string =>
	processes
		.filter(({ isCounted }) => !isCounted)
		.map(({ pid, program }) => `not counted: ${program} (pid ${pid ?? "unknown"}), which cannot reach the counters\n`)
		.join("");

const callJson = ({ way, name, bits, clock }: Call) => ({
	way,
	bits,
	function: name,
	...(clock === undefined ? {} : { clock: clockName(clock) }),
});

export const statJson = (report: StatReport, command: readonly string[]): string => {
	const value = {
		version: 1,
		command,
		seconds: report.seconds,
		processorSeconds: report.processorTime,
		calls: report.calls.map((call) => ({
			...callJson(call),
			count: call.count,
			perSecond: call.perSecond,
			nanosecondsEach: call.nanosecondsEach ?? null,
			seconds: costOf(call) ?? null,
			processorPercent: shareOf(report, costOf(call)) ?? null,
		})),
		processes: report.processes.map(({ pid, program, isForked, bits, isCounted, count, calls }) => ({
			pid: pid ?? null,
			program,
			isForked,
			bits,
			isCounted,
			count,
			calls: calls.map((call) => ({ ...callJson(call), count: call.count })),
		})),
		callers: report.callers.map((caller) => ({
			...callJson(caller),
			caller: caller.caller,
			count: caller.count,
			samples: caller.samples,
		})),
		unattributed: report.unattributed,
	};
	return `${JSON.stringify(value, undefined, "\t")}\n`;
};
