import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
	chmodSync,
	copyFileSync,
	mkdirSync,
	mkdtempSync,
	readFileSync,
	rmSync,
	symlinkSync,
	truncateSync,
	writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test, type TestContext } from "node:test";
import { build } from "../helpers/fixtures.ts";
import { readSchema, schemaFaults } from "../helpers/json-schema.ts";
import { has, isRoot } from "../helpers/requirements.ts";
import { dockerImage, tar } from "../helpers/tar.ts";
import { CLI, runCommand, vsyscall } from "../helpers/vsyscall.ts";

const SCHEMA = readSchema("scan.schema.json");

interface Scan {
	readonly files: readonly {
		readonly path: string;
		readonly images: readonly string[];
		readonly passedOver: string | null;
		readonly findings: readonly { readonly kind: string; readonly symbol: string | null }[];
	}[];
	readonly summary: { readonly files: number; readonly searched: number; readonly bytes: number };
}

const inDirectory = (t: TestContext): string => {
	const directory = mkdtempSync(join(tmpdir(), "vsyscall-scan-"));
	chmodSync(directory, 0o755);
	t.after(() => rmSync(directory, { recursive: true }));
	return directory;
};

const json = async (...args: readonly string[]): Promise<Scan & { exitCode: number | null; stderr: string }> => {
	const { stdout, stderr, exitCode } = await vsyscall(["scan", "--json", ...args]);
	const scan = JSON.parse(stdout) as Scan;
	assert.deepEqual(schemaFaults(SCHEMA, scan), []);
	return { ...scan, exitCode, stderr };
};

const legacy = (): string => build("glibc", "legacy.c");
const clean = (): string => build("glibc", "exit-seven.c");
const mentions = (): string => build("glibc", "page-mentions.S", ["-nostdlib", "-static", "-no-pie"]);

suite("what it says", () => {
	test("a program that calls the page: where, what, by which instructions, and status 1", async (t) => {
		if (!has(t, "gcc")) return;
		const { stdout, stderr, exitCode } = await vsyscall(["scan", legacy()]);
		assert.equal(exitCode, 1);
		assert.equal(stderr, "");
		assert.match(
			stdout,
			/^ {2}call {2}0x[0-9a-f]+ page_time\+0x[0-9a-f]+\n {4}calls time; a run patches its operand\n/m,
		);
		assert.match(stdout, /48 c7 c0 00 04 60 ff {2}mov rax, 0xffffffffff600400\n/);
		assert.match(stdout, /\n1 file needs the vsyscall page: .* \(3 call\); searched 1 program or library of 1 file/);
	});

	test("a program that does not: one line, and status 0", async (t) => {
		if (!has(t, "gcc")) return;
		const { stdout, exitCode } = await vsyscall(["scan", clean()]);
		assert.match(stdout, /^nothing needs the vsyscall page; searched 1 program or library of 1 file \(\d+ MB\)\n$/);
		assert.equal(exitCode, 0);
	});

	test("as JSON, by the schema; the same in every run", async (t) => {
		if (!has(t, "gcc")) return;
		const directory = inDirectory(t);
		for (let copy = 0; copy < 120; copy++)
			copyFileSync(copy % 3 === 0 ? legacy() : clean(), join(directory, `${copy}`));
		copyFileSync(mentions(), join(directory, "mentions"));
		const first = await json(directory);
		assert.deepEqual(await json(directory), first);
		assert.equal(first.exitCode, 1);
		assert.equal(first.files.length, 41);
		assert.deepEqual(
			first.files.map(({ path }) => path),
			first.files.map(({ path }) => path).toSorted(),
		);
		assert.equal(first.summary.files, 121);
		assert.equal(first.summary.searched, 121);
	});

	test("an image, from a file and from a pipe", async (t) => {
		if (!has(t, "gcc", "sh")) return;
		const directory = inDirectory(t);
		const image = join(directory, "image.tar");
		writeFileSync(image, dockerImage([tar([{ path: "bin/old", content: readFileSync(legacy()) }])], ["old:1"]));
		const [found] = (await json(image)).files;
		assert.equal(found?.path, `${image}:bin/old`);
		assert.deepEqual(found.images, ["old:1"]);
		const piped = await runCommand(["sh", "-c", `cat ${image} | ${process.execPath} ${CLI} scan --json -`]);
		const [same] = (JSON.parse(piped.stdout) as Scan).files;
		assert.deepEqual(same, { ...found, path: "-:bin/old" });
		assert.equal(piped.exitCode, 1);
	});

	test("a line on a terminal tells how far it is; nothing elsewhere", async (t) => {
		if (!has(t, "gcc", "script")) return;
		const directory = inDirectory(t);
		for (let copy = 0; copy < 64; copy++) copyFileSync(clean(), join(directory, `${copy}`));
		const command = `${process.execPath} ${CLI} scan ${directory}`;
		const { stdout } = await runCommand(["script", "-qec", command, "/dev/null"]);
		assert.match(stdout, /\d+ (?:of 64 )?files, \d+ MB/);
		const { stderr } = await vsyscall(["scan", directory]);
		assert.equal(stderr, "");
	});
});

/** Of sarif-schema-2.1.0.json: which properties an object may have, and which it must have. */
const SARIF: Readonly<Record<string, { readonly may: string; readonly must: string }>> = {
	log: { may: "$schema version runs", must: "version runs" },
	run: { may: "tool results invocations", must: "tool" },
	driver: { may: "name semanticVersion rules", must: "name" },
	rule: { may: "id shortDescription defaultConfiguration", must: "id" },
	result: { may: "ruleId ruleIndex level message locations", must: "message" },
	location: { may: "physicalLocation logicalLocations", must: "" },
	physicalLocation: { may: "artifactLocation region address", must: "" },
	invocation: { may: "executionSuccessful toolExecutionNotifications", must: "executionSuccessful" },
	notification: { may: "level message locations", must: "message" },
};

const assertShape = (value: object, name: string): void => {
	const { may = "", must = "" } = SARIF[name] ?? {};
	for (const key of Object.keys(value)) assert.ok(may.split(" ").includes(key), `${name} has ${key}`);
	for (const key of must.split(" ").filter((word) => word !== "")) assert.ok(key in value, `${name} has no ${key}`);
};

interface Location {
	readonly physicalLocation: {
		readonly artifactLocation: { readonly uri: string };
		readonly region?: { readonly byteOffset: number; readonly byteLength: number };
		readonly address?: { readonly absoluteAddress: number };
	};
}

interface Sarif {
	readonly version: string;
	readonly runs: readonly {
		readonly tool: { readonly driver: { readonly name: string; readonly rules: readonly { readonly id: string }[] } };
		readonly results: readonly {
			readonly ruleId: string;
			readonly ruleIndex: number;
			readonly level: string;
			readonly message: { readonly text: string };
			readonly locations: readonly Location[];
		}[];
		readonly invocations: readonly {
			readonly toolExecutionNotifications: readonly { readonly message: { readonly text: string } }[];
		}[];
	}[];
}

test("SARIF has the shape that its schema asks for", async (t) => {
	if (!has(t, "gcc")) return;
	const { stdout, exitCode } = await vsyscall(["scan", "--sarif", mentions(), "/nowhere"]);
	assert.equal(exitCode, 1);
	const log = JSON.parse(stdout) as Sarif;
	assertShape(log, "log");
	assert.equal(log.version, "2.1.0");
	const [run] = log.runs;
	assert.ok(run !== undefined && log.runs.length === 1);
	assertShape(run, "run");
	const { driver } = run.tool;
	assertShape(driver, "driver");
	for (const rule of driver.rules) assertShape(rule, "rule");
	assert.equal(run.results.length, 18);
	const bytes = readFileSync(mentions());
	for (const result of run.results) {
		assertShape(result, "result");
		assert.equal(driver.rules[result.ruleIndex]?.id, result.ruleId);
		assert.ok(["none", "note", "warning", "error"].includes(result.level));
		assert.equal(result.level === "note", result.ruleId === "mention");
		const [location] = result.locations;
		assert.ok(location !== undefined && result.locations.length === 1);
		assertShape(location, "location");
		const { physicalLocation: place } = location;
		assertShape(place, "physicalLocation");
		assert.equal(new URL(place.artifactLocation.uri).pathname, mentions());
		const { byteOffset = -1, byteLength = 0 } = place.region ?? {};
		assert.ok(byteOffset >= 0 && byteLength > 0 && byteOffset + byteLength <= bytes.length);
		assert.ok(Number.isSafeInteger(place.address?.absoluteAddress));
	}
	const [invocation] = run.invocations;
	assert.ok(invocation !== undefined);
	assertShape(invocation, "invocation");
	assert.deepEqual(
		invocation.toolExecutionNotifications.map(({ message }) => message.text),
		["no such file"],
	);
	for (const notification of invocation.toolExecutionNotifications) assertShape(notification, "notification");
});

suite("what is passed over", () => {
	test("in a tree: FIFOs, sockets, damaged files and loops; the rest is searched, and the status is that of the rest", async (t) => {
		if (!has(t, "gcc", "mkfifo")) return;
		const directory = inDirectory(t);
		const at = (name: string): string => join(directory, name);
		execFileSync("mkfifo", [at("a-fifo")]);
		const server = createServer().listen(at("b-socket"));
		t.after(() => server.close());
		copyFileSync(clean(), at("c-cut"));
		truncateSync(at("c-cut"), 100);
		writeFileSync(at("d-empty"), "");
		mkdirSync(at("e"));
		symlinkSync("..", join(at("e"), "up"));
		symlinkSync("self", at("self"));
		copyFileSync(clean(), at("z-last"));
		const scan = await json(directory);
		assert.deepEqual(
			scan.files.map(({ path, passedOver }) => [path, passedOver?.replace(/:.*/, "")]),
			[
				[at("a-fifo"), "a FIFO"],
				[at("b-socket"), "a socket"],
				[at("c-cut"), "damaged ELF file"],
			],
		);
		assert.equal(scan.stderr.split("\n").length, 4);
		assert.match(scan.stderr, /^vsyscall: .*\/a-fifo: a FIFO; passed over\n/);
		assert.equal(scan.summary.searched, 1);
		assert.equal(scan.exitCode, 0);
	});

	test("files and directories that may not be read, as an ordinary user", async (t) => {
		if (!has(t, "gcc") || !isRoot(t)) return;
		const directory = inDirectory(t);
		copyFileSync(legacy(), join(directory, "closed"));
		chmodSync(join(directory, "closed"), 0);
		mkdirSync(join(directory, "shut"), { mode: 0o700 });
		chmodSync(join(directory, "shut"), 0o700);
		const { stderr, exitCode } = await vsyscall(["scan", directory], { uid: 65_534, gid: 65_534 });
		assert.equal(
			stderr,
			["closed", "shut"].map((name) => `vsyscall: ${join(directory, name)}: permission denied; passed over\n`).join(""),
		);
		assert.equal(exitCode, 0);
	});

	const NAMED = [
		["what is not there", "/nowhere", /^vsyscall: \/nowhere: no such file; passed over\n$/],
		["a device", "/dev/null", /^vsyscall: \/dev\/null: a device; passed over\n$/],
		["a file system of the kernel", "/proc", /^vsyscall: \/proc: a file system of the kernel \(proc\); passed over\n$/],
	] as const;
	for (const [name, path, line] of NAMED) {
		test(`${name}, named: one line, and status 125, since it was asked for`, async () => {
			const { stderr, exitCode } = await vsyscall(["scan", path]);
			assert.match(stderr, line);
			assert.equal(exitCode, 125);
		});
	}

	test("a file that is cut off, named: 125; a file that is no program: 0", async (t) => {
		if (!has(t, "gcc")) return;
		const directory = inDirectory(t);
		writeFileSync(join(directory, "cut"), readFileSync(clean()).subarray(0, 90));
		const cut = await vsyscall(["scan", join(directory, "cut")]);
		assert.match(cut.stderr, /^vsyscall: .*\/cut: damaged ELF file: .*; passed over\n$/);
		assert.equal(cut.exitCode, 125);
		writeFileSync(join(directory, "text"), "#!/bin/sh\n");
		const text = await vsyscall(["scan", join(directory, "text")]);
		assert.deepEqual([text.stderr, text.exitCode], ["", 0]);
	});

	test("no path, an unknown option, two formats: usage, 125", async () => {
		for (const args of [[], ["--nonsense", "/"], ["--json", "--sarif", "/dev/null"]]) {
			const { stdout, stderr, exitCode } = await vsyscall(["scan", ...args]);
			assert.deepEqual([stdout, exitCode, stderr.split("\n").length], ["", 125, 2], args.join(" "));
		}
	});
});
