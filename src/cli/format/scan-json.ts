/** What a scan found, as one JSON document that is written while the scan goes on: docs/scan.schema.json. */
import type { Finding } from "../../scan/finding.ts";
import type { FileReport } from "../../scan/report.ts";
import { writeOut } from "../messages.ts";
import type { ScanWriter } from "../scan.ts";

const hex = (value: bigint | undefined): string | null => (value === undefined ? null : `0x${value.toString(16)}`);

const findingAsJson = (finding: Finding): unknown => ({
	kind: finding.kind,
	entry: finding.entry ?? null,
	address: hex(finding.address),
	offset: finding.offset ?? null,
	section: finding.section ?? null,
	symbol: finding.symbol ?? null,
	code: finding.code.map(({ address, bytes, text }) => ({
		address: hex(address),
		bytes: Buffer.from(bytes).toString("hex"),
		text,
	})),
	pointer: hex(finding.pointer),
	patch: finding.patch ?? null,
	detail: finding.detail ?? null,
});

const reportAsJson = ({ path, place, findings, passedOver }: FileReport): unknown => ({
	path,
	layer: place?.layer ?? null,
	images: place?.images ?? [],
	passedOver: passedOver ?? null,
	findings: findings.map(findingAsJson),
});

export const jsonWriter = (): ScanWriter => {
	let separator = "\n";
	return {
		begin: () => writeOut('{"version": 1, "files": ['),
		report(report) {
			writeOut(`${separator}${JSON.stringify(reportAsJson(report))}`);
			separator = ",\n";
		},
		end: ({ files, searched, bytes }) => writeOut(`\n], "summary": ${JSON.stringify({ files, searched, bytes })}}\n`),
	};
};
