/** What `vsyscall doctor` says, as text. */
import type { Diagnosis } from "../../doctor/diagnosis.ts";
import type { Check } from "../../doctor/host-checks.ts";
import { paint } from "./colour.ts";
import { facts, outputWidth, wrap } from "./facts.ts";

type Row = Readonly<Record<"name" | "state" | "finding", string> & { remedy?: string }>;

const HEADINGS: Row = { name: "CHECK", state: "STATE", finding: "FINDING" };
const ARROW = "-> ";

const painted = (state: string): string => {
	if (state.trim() === "problem") return paint("red", state);
	return state.trim() === "ok" ? paint("green", state) : state;
};

/** The remedy of a problem stands below its finding. */
export const checksText = (checks: readonly Check[], width: number = outputWidth()): string => {
	const rows: readonly Row[] = [HEADINGS, ...checks];
	const column = (key: "name" | "state"): number => Math.max(...rows.map((row) => row[key].length)) + 2;
	const [names, states] = [column("name"), column("state")];
	return rows
		.flatMap((row) => {
			const room = width - names - states;
			const remedy = row.remedy === undefined ? [] : wrap(row.remedy, room - ARROW.length);
			const lines = [
				...wrap(row.finding, room),
				...remedy.map((line, index) => `${index === 0 ? ARROW : "   "}${line}`),
			];
			return lines.map((line, index) =>
				index === 0
					? `${row.name.padEnd(names)}${painted(row.state.padEnd(states))}${line}`
					: `${"".padEnd(names + states)}${line}`,
			);
		})
		.map((line) => `${line.trimEnd()}\n`)
		.join("");
};

/** Three lines, and the command. */
export const diagnosisText = ({ need, host, verdict, command }: Diagnosis, width: number = outputWidth()): string => {
	const lines = facts(
		[
			["needs", need],
			["host", host],
			["so", verdict],
		],
		width,
	);
	return `${lines}\n  ${paint("bold", command)}\n`;
};
