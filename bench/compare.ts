/** Other ways to move a program's clock, and how soon a change of a named clock is seen: tables, and JSON in bench/results. */
import { mkdirSync, writeFileSync } from "node:fs";
import { measurePush } from "./push.ts";
import { measureRivals } from "./rivals.ts";
import { machine, ROOT } from "./tools.ts";

const save = (name: string, results: object): void => {
	mkdirSync(`${ROOT}bench/results`, { recursive: true });
	writeFileSync(
		`${ROOT}bench/results/${name}.json`,
		`${JSON.stringify({ machine: machine(), ...results }, undefined, "\t")}\n`,
	);
};

const rivals = await measureRivals();
save("rivals", { rivals });
console.log("\n| host = 1 | vsyscall | libfaketime |\n| --- | ---: | ---: |");
for (const { what, toHost, without } of rivals) {
	const cell = (way: "vsyscall" | "libfaketime"): string => toHost[way]?.toFixed(2) ?? without[way] ?? "";
	console.log(`| ${what} | ${cell("vsyscall")} | ${cell("libfaketime")} |`);
}

const push = await measurePush();
save("push", { push });
const { storeToReadMicroseconds, changeMicroseconds, changeUnderAllMicroseconds } = push;
console.log(
	`\na change is seen on another processor after ${storeToReadMicroseconds.median.toFixed(1)} us (99 %: ${storeToReadMicroseconds.p99.toFixed(1)} us) and takes ${changeMicroseconds.toFixed(0)} us in all; medians of ${push.pushes}`,
);
console.log(
	`${push.sawIt} of ${push.processes} processes saw one at their next read; it took ${changeUnderAllMicroseconds.toFixed(0)} us`,
);
