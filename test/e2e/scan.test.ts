/** `vsyscall scan` as it is typed: what it prints, in three forms, and how it ends. Call sites are compared with objdump's. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
	copyFileSync,
	mkdirSync,
	mkdtempSync,
	readFileSync,
	rmSync,
	symlinkSync,
	truncateSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { build } from "../helpers/fixtures.ts";
import { readSchema, schemaFaults } from "../helpers/json-schema.ts";
import { has } from "../helpers/requirements.ts";
import { dockerImage, tar } from "../helpers/tar.ts";
import { vsyscall } from "../helpers/vsyscall.ts";

const TIMEOUT = { timeout: 120_000 };
const directory = mkdtempSync(join(tmpdir(), "vsyscall-scan-"));
after(() => rmSync(directory, { recursive: true, force: true }));

interface Finding {
	readonly kind: string;
	readonly entry: string | null;
	readonly code: readonly { readonly address: string; readonly bytes: string }[];
}

interface Document {
	readonly files: readonly {
		readonly path: string;
		readonly images: readonly string[];
		readonly passedOver: string | null;
		readonly findings: readonly Finding[];
	}[];
	readonly summary: { readonly files: number; readonly searched: number };
}

const scan = async (...paths: readonly string[]) => {
	const { stdout, stderr, exitCode } = await vsyscall(["scan", "--json", ...paths]);
	const document = JSON.parse(stdout) as Document;
	assert.deepEqual(schemaFaults(readSchema("scan.schema.json"), document), []);
	return { ...document, stderr, exitCode };
};

/** Instructions of a program that name the page or go there by a register, as objdump has them: address and bytes. */
const disassembled = (program: string): ReadonlyMap<string, string> => {
	const text = execFileSync("objdump", ["-d", "--no-show-raw-insn", "-w", program], { encoding: "latin1" });
	return new Map([...text.matchAll(/^ *([0-9a-f]+):\t(.*)$/gm)].map(([, address = "", line = ""]) => [address, line]));
};

suite("scan", () => {
	test("finds the calls of a program where objdump has them", TIMEOUT, async (t) => {
		if (!has(t, "gcc", "objdump")) return;
		const program = build("glibc", "legacy.c");
		const { files, exitCode } = await scan(program);
		assert.equal(exitCode, 1);
		const findings = files[0]?.findings ?? [];
		assert.deepEqual(
			findings.map(({ kind, entry }) => [kind, entry]),
			["gettimeofday", "time", "getcpu"].map((entry) => ["call", entry]),
		);
		const lines = disassembled(program);
		for (const { code } of findings) {
			const [operand, call] = code.map(({ address }) => lines.get(address.slice(2)) ?? "");
			assert.match(operand ?? "", /^mov .*\$0xffffffffff600/);
			assert.match(call ?? "", /^call +\*%rax/);
		}
	});

	test("searches a tree, an archive and stdin, and passes over what is no program", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const tree = join(directory, "tree");
		mkdirSync(join(tree, "bin"), { recursive: true });
		const legacy = build("glibc-static", "legacy.c");
		copyFileSync(legacy, join(tree, "bin", "old"));
		copyFileSync(build("glibc", "exit-seven.c"), join(tree, "bin", "new"));
		writeFileSync(join(tree, "constant"), Buffer.from("0000600fffffffff", "hex"));
		symlinkSync("..", join(tree, "bin", "loop"));
		execFileSync("mkfifo", [join(tree, "fifo")]);
		copyFileSync(legacy, join(tree, "cut"));
		truncateSync(join(tree, "cut"), 100);
		writeFileSync(
			join(tree, "image.tar"),
			dockerImage([tar([{ path: "usr/bin/old", content: readFileSync(legacy) }])], ["centos:6"]),
		);
		const { files, exitCode, stderr } = await scan(tree);
		const found = files.filter(({ findings }) => findings.length > 0);
		assert.deepEqual(found.map(({ path }) => path).toSorted(), [
			join(tree, "bin", "old"),
			`${join(tree, "image.tar")}:usr/bin/old`,
		]);
		assert.deepEqual(found.find(({ images }) => images.length > 0)?.images, ["centos:6"]);
		assert.match(stderr, /fifo: .*passed over\n/);
		assert.match(stderr, /cut: .*passed over\n/);
		assert.equal(exitCode, 1);

		const sarif = await vsyscall(["scan", "--sarif", join(tree, "bin")]);
		const { version, runs } = JSON.parse(sarif.stdout) as {
			readonly version: string;
			readonly runs: readonly {
				readonly tool: {
					readonly driver: { readonly name: string; readonly rules: readonly { readonly id: string }[] };
				};
				readonly results: readonly { readonly ruleId: string; readonly ruleIndex: number; readonly level: string }[];
			}[];
		};
		assert.deepEqual([version, runs.length, runs[0]?.tool.driver.name], ["2.1.0", 1, "vsyscall"]);
		const { results = [], tool } = runs[0] ?? {};
		assert.equal(results.length, 3);
		for (const { ruleId, ruleIndex, level } of results) {
			assert.deepEqual([ruleId, level], ["call", "error"]);
			assert.equal(tool?.driver.rules[ruleIndex]?.id, ruleId);
		}
	});

	test("ends with 0 where nothing is found, and with 125 where nothing could be searched", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const clean = await scan(build("glibc", "exit-seven.c"));
		assert.deepEqual([clean.exitCode, clean.files, clean.summary.searched, clean.stderr], [0, [], 1, ""]);
		const absent = await scan(join(directory, "absent"));
		assert.equal(absent.exitCode, 125);
		assert.match(absent.stderr, /^vsyscall: .*absent: [^\n]+; passed over\n$/);
		const { exitCode, stderr, stdout } = await vsyscall(["scan"]);
		assert.deepEqual([exitCode, stdout], [125, ""]);
		assert.match(stderr, /^vsyscall: missing required argument 'path'[^\n]*\n$/);
	});
});
