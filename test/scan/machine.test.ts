/** Everything that is installed here, with objdump as the judge of what is found: most of it has nothing to do with the page. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { statSync } from "node:fs";
import { test } from "node:test";
import type { Finding } from "../../src/scan/finding.ts";
import type { FileReport } from "../../src/scan/report.ts";
import { scanPaths } from "../../src/scan/files/scan-paths.ts";
import { has } from "../helpers/requirements.ts";

const TREES = ["/usr/bin", "/usr/lib", "/usr/sbin"];
/** Of a file that objdump reads whole in seconds. */
const MOST_BYTES = 1 << 23;
const AFTER = 16n;

const hex = (value: bigint): string => `0x${value.toString(16)}`;

/** From where objdump is to decode: the start of the function, else that of the section in a small file. */
const startOf = (finding: Finding, file: string): readonly string[] | undefined => {
	const distance = /\+(0x[0-9a-f]+)$/.exec(finding.symbol ?? "")?.[1];
	const [first] = finding.code;
	if (first === undefined || finding.address === undefined) return undefined;
	if (distance !== undefined) return [`--start-address=${hex(finding.address - BigInt(distance))}`];
	return statSync(file).size <= MOST_BYTES ? [] : undefined;
};

/** address -> bytes and text of what objdump reads up to the end of a finding. */
const objdump = (file: string, finding: Finding, start: readonly string[]): ReadonlyMap<bigint, string> => {
	const stop = `--stop-address=${hex((finding.code.at(-1)?.address ?? 0n) + AFTER)}`;
	const text = execFileSync("objdump", ["-d", "--wide", ...start, stop, file], {
		encoding: "latin1",
		maxBuffer: 1 << 28,
	});
	return new Map(
		[...text.matchAll(/^ *([0-9a-f]+):\t((?:[0-9a-f]{2} )+) *\t(.*)$/gm)].map(
			([, address = "", bytes = "", line = ""]) => [BigInt(`0x${address}`), `${bytes.replaceAll(" ", "")} ${line}`],
		),
	);
};

test("what is found in the programs of this machine is what objdump reads there", { timeout: 300_000 }, async (t) => {
	if (!has(t, "objdump")) return;
	const reports: FileReport[] = [];
	const tally = await scanPaths(TREES, { onReport: (report) => reports.push(report), onProgress: () => undefined });
	assert.ok(tally.searched > 500, `${tally.searched} programs`);
	const found = reports.flatMap((report) => report.findings.map((finding) => ({ ...report, finding })));
	// A hundred programs that need the page would be a machine of 2009, or a search that takes noise for calls.
	assert.ok(found.length < 100, `${found.length} findings`);
	let judged = 0;
	for (const { file, path, finding } of found) {
		const start = path === file ? startOf(finding, file) : undefined;
		if (start === undefined) continue;
		const instructions = objdump(file, finding, start);
		for (const { address, bytes } of finding.code) {
			const line = instructions.get(address) ?? "no instruction";
			assert.ok(line.startsWith(`${Buffer.from(bytes).toString("hex")} `), `${path} ${hex(address)}: ${line}`);
		}
		const lines = finding.code.map(({ address }) => instructions.get(address) ?? "");
		assert.ok(
			lines.some((line) => /0xffffffffff600[048]00|# ffffffffff600[048]00|rip/.test(line)),
			`${path}: ${lines.join("; ")}`,
		);
		if (finding.kind === "call") assert.match(lines.at(-1) ?? "", / (?:call|jmp|j\w+) /, path);
		judged += 1;
	}
	t.diagnostic(`${tally.searched} programs, ${found.length} findings, ${judged} judged by objdump`);
});
