/** What follows from what a program has and what a host does. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { diagnose, type Patient } from "../../src/doctor/diagnosis.ts";
import type { Finding } from "../../src/scan/finding.ts";
import type { HostMode } from "../../src/vsyscall/mode.ts";

const finding = (kind: Finding["kind"]): Finding => ({
	kind,
	entry: kind === "glibc" || kind === "read" ? undefined : "time",
	address: kind === "glibc" ? undefined : 0x40_1234n,
	offset: undefined,
	section: undefined,
	symbol: kind === "glibc" ? undefined : "main+0x4",
	code: [],
	pointer: undefined,
	patch: undefined,
	detail: kind === "glibc" ? "glibc 2.5" : undefined,
});

const patient = (kinds: readonly Finding["kind"][], more: Partial<Patient> = {}): Patient => ({
	kind: "program",
	name: "./old",
	command: "./old",
	files: [{ path: "./old", findings: kinds.map(finding), isApplicable: true }],
	searched: 1,
	missing: [],
	isInRun: false,
	...more,
});

type Row = readonly [Finding["kind"] | "nothing", HostMode, "ok" | "problem", command: string];

const ROWS: readonly Row[] = [
	["nothing", "none", "ok", "./old"],
	["mention", "none", "ok", "./old"],
	["call", "xonly", "ok", "./old"],
	["call", "emulate", "ok", "./old"],
	["call", "none", "problem", "vsyscall run -- ./old"],
	["go", "none", "problem", "vsyscall run -- ./old"],
	["glibc", "none", "problem", "vsyscall run -- ./old"],
	["pointer", "none", "problem", "vsyscall run -- ./old"],
	["read", "emulate", "ok", "./old"],
	["read", "xonly", "problem", "vsyscall run --vsyscall=emulate -- ./old"],
	["read", "none", "problem", "vsyscall run --vsyscall=emulate -- ./old"],
];

suite("a program", () => {
	for (const [kind, host, state, command] of ROWS) {
		test(`with ${kind} on a host of mode ${host}: ${state}`, () => {
			const diagnosis = diagnose(patient(kind === "nothing" ? [] : [kind]), host);
			assert.deepEqual([diagnosis.state, diagnosis.command], [state, command]);
			assert.match(diagnosis.host, new RegExp(`\\(${host}\\)$`));
			assert.equal(/does not use/.test(diagnosis.need), kind === "nothing" || kind === "mention");
		});
	}

	test("that calls for certain ends; one that is known by its version may end", () => {
		assert.match(diagnose(patient(["call"]), "none").verdict, /^it ends with SIGSEGV \(139/);
		assert.match(diagnose(patient(["glibc"]), "none").verdict, /^it may end with SIGSEGV/);
	});

	test("names the first file that needs the page, and counts the others", () => {
		const files = ["/lib/a.so", "/lib/b.so"].map((path) => ({ path, findings: [finding("call")], isApplicable: true }));
		const { need } = diagnose(patient([], { files }), "none");
		assert.match(
			need,
			/^\.\/old needs the vsyscall page: \/lib\/a\.so has 1 call of time, first at main\+0x4 \(0x401234\), and 1 more file$/,
		);
	});

	test("says what was not looked at", () => {
		assert.match(diagnose(patient([], { missing: ["libold.so.1"] }), "none").need, /not looked at: libold\.so\.1/);
	});

	test("of another class has no page to need", () => {
		const files = [{ path: "./old", findings: [], isApplicable: false }];
		assert.match(diagnose(patient([], { files }), "none").need, /not for x86-64/);
	});

	test("that is in a run already is served", () => {
		const diagnosis = diagnose(patient(["call"], { kind: "process", isInRun: true }), "none");
		assert.deepEqual([diagnosis.state, diagnosis.command], ["ok", "./old"]);
	});

	test("in a directory: scan tells more", () => {
		const diagnosis = diagnose(patient(["call"], { kind: "directory", name: "/srv", command: "/srv" }), "none");
		assert.deepEqual([diagnosis.state, diagnosis.command], ["problem", "vsyscall scan /srv"]);
	});
});
