/** What `vsyscall doctor` says, as JSON: docs/doctor.schema.json says what it is. */
import type { Diagnosis } from "../../doctor/diagnosis.ts";
import type { Check } from "../../doctor/host-checks.ts";
import { hex } from "../../elf/elf-error.ts";
import { isNeed } from "../../scan/finding.ts";

export const diagnosisJson = ({ files, ...diagnosis }: Diagnosis): object => ({
	...diagnosis,
	files: files.map(({ path, findings }) => ({
		path,
		findings: findings.filter(isNeed).map(({ kind, entry, address, symbol, detail }) => ({
			kind,
			entry: entry ?? null,
			address: address === undefined ? null : hex(address),
			symbol: symbol ?? null,
			detail: detail ?? null,
		})),
	})),
});

export const checksJson = (checks: readonly Check[]): object => ({
	checks: checks.map(({ remedy, ...check }) => ({ ...check, remedy: remedy ?? null })),
});
