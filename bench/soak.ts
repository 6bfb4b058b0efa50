/**
 * `npm run soak`: 200 processes on one clock for ten minutes, with every reading checked. Fails when one is wrong.
 *
 *     SOAK_SECONDS=600 SOAK_PROCESSES=200 npm run soak
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { soak } from "../test/soak/soak.ts";

const RESULTS = fileURLToPath(new URL("../../bench/results/", import.meta.url));

const result = await soak({
	seconds: Number(process.env["SOAK_SECONDS"] ?? 600),
	processes: Number(process.env["SOAK_PROCESSES"] ?? 200),
});
mkdirSync(RESULTS, { recursive: true });
writeFileSync(`${RESULTS}soak.json`, `${JSON.stringify(result, undefined, "\t")}\n`);
console.log(
	`${result.readings} readings by ${result.processes} processes in ${result.seconds} s, ${result.wrong} wrong; ` +
		`${result.changes} changes, ${result.lost.length} lost; ${result.controllersKilled} controllers killed`,
);
for (const line of [...result.examples, ...result.lost]) console.log(line);
const isClean = result.wrong === 0 && result.lost.length === 0 && result.endsWell;
process.exitCode = isClean && result.exitCodes.every((code) => code === 0) ? 0 : 1;
