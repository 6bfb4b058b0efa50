/** What a scan found, for people. */
import type { Finding, FindingKind } from "../../scan/finding.ts";
import { isNeed } from "../../scan/finding.ts";
import type { ScanWriter } from "../scan.ts";
import { writeOut } from "../messages.ts";
import { table } from "./table.ts";

const hex = (value: bigint): string => `0x${value.toString(16)}`;

/** What a finding is, in a sentence. */
export const describe = ({ kind, entry, patch, pointer, detail }: Finding): string => {
	const what = entry ?? "an address in the page that is no entry";
	const through = pointer === undefined || kind !== "call" ? "" : ` through the word at ${hex(pointer)}`;
	switch (kind) {
		case "call":
			return `calls ${what}${through}${patch === undefined ? "" : `; ${PATCHES[patch]}`}`;
		case "address":
			return `takes the address of ${what}; what calls it cannot be told`;
		case "pointer":
			return `holds the address of ${what}; what calls it cannot be told`;
		case "go":
			return `holds the address of ${what}, ${detail ?? ""}`;
		case "read":
			return "reads the page, which only --vsyscall=emulate and native have";
		case "glibc":
			return detail ?? "an old C library";
		case "mention":
			return `compares with the address of ${what}, and does not call it`;
	}
};

const PATCHES = {
	immediate: "a run patches its operand",
	immediate64: "a run patches its operand",
	displacement: "a run patches its operand",
	pointer: "a run patches the word",
	none: "no operand to patch: a run answers each call",
} as const;

const lines = (finding: Finding): string => {
	const { address, symbol, section, code } = finding;
	const place = address === undefined ? "" : `${hex(address)} ${symbol ?? section ?? ""}`.trimEnd();
	const head = `  ${finding.kind}${place === "" ? "" : `  ${place}`}\n    ${describe(finding)}\n`;
	const rows = code.map((line) => [
		`      ${line.address.toString(16)}`,
		Buffer.from(line.bytes).toString("hex").replaceAll(/../g, "$& ").trimEnd(),
		line.text,
	]);
	return head + table(rows);
};

const counted = (count: number, one: string, more: string): string => `${count} ${count === 1 ? one : more}`;

export const textWriter = (): ScanWriter => {
	const kinds = new Map<FindingKind, number>();
	let needing = 0;
	let passedOver = 0;
	return {
		begin: () => undefined,
		report({ path, place, findings, passedOver: reason }) {
			if (reason !== undefined) passedOver += 1;
			if (findings.length === 0) return;
			if (findings.some(isNeed)) needing += 1;
			for (const { kind } of findings) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
			const images = place === undefined ? "" : ` (${place.images.join(", ")}; layer ${place.layer})`;
			writeOut(`${path}${images}\n${findings.map(lines).join("")}`);
		},
		end({ files, searched, bytes }) {
			const found = [...kinds].map(([kind, count]) => `${count} ${kind}`).join(", ");
			const needs =
				needing === 0
					? "nothing needs the vsyscall page"
					: `${counted(needing, "file needs", "files need")} the vsyscall page: vsyscall run -- PROGRAM serves it`;
			const looked = `searched ${counted(searched, "program or library", "programs and libraries")} of ${counted(files, "file", "files")} (${Math.round(bytes / 1e6)} MB)`;
			const over = passedOver === 0 ? "" : `; ${passedOver} passed over`;
			writeOut(`${needs}${found === "" ? "" : ` (${found})`}; ${looked}${over}\n`);
		},
	};
};
