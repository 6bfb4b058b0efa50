/** Which facts are problems, and that every problem has a remedy. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { checkHostFacts, type HostFacts } from "../../src/doctor/host-checks.ts";

const WELL: HostFacts = {
	vsyscall: "xonly",
	vdso: { functions: 6, violations: [] },
	clockSource: "tsc",
	availableClockSources: ["tsc", "hpet"],
	trapsForTime: false,
	tracingObstacle: undefined,
	isFilterAllowed: true,
	yamaScope: undefined,
	isSealed: false,
	entry32: "syscall",
	isInRun: false,
};

/** Names of the checks that are problems. */
const problems = (facts: Partial<HostFacts>): readonly string[] =>
	checkHostFacts({ ...WELL, ...facts }).flatMap(({ name, state }) => (state === "problem" ? [name] : []));

/** What is to be done where reads trap. */
const remedies = (availableClockSources: readonly string[]): string =>
	checkHostFacts({ ...WELL, trapsForTime: true, availableClockSources })
		.map(({ remedy }) => remedy ?? "")
		.join("");

type Row = readonly [rule: string, facts: Partial<HostFacts>, problems: readonly string[]];

const ROWS: readonly Row[] = [
	["all well", {}, []],
	["a page that can be read is no problem", { vsyscall: "emulate" }, []],
	["a page that is not served", { vsyscall: "none" }, ["vsyscall page"]],
	["no vDSO", { vdso: undefined }, ["vDSO"]],
	["a vDSO that breaks a rule", { vdso: { functions: 6, violations: ["two PT_LOAD"] } }, ["vDSO"]],
	["reads that are system calls", { clockSource: "hpet", trapsForTime: true }, ["clock source"]],
	["reads that could not be tried", { trapsForTime: undefined }, []],
	["tracing is refused", { tracingObstacle: "a seccomp filter forbids it" }, ["ptrace"]],
	["filters are refused", { isFilterAllowed: false }, ["seccomp"]],
	["Yama allows all", { yamaScope: 0 }, []],
	["Yama allows children", { yamaScope: 1 }, []],
	["Yama asks for a capability that is there", { yamaScope: 2 }, []],
	["Yama asks for a capability", { yamaScope: 2, tracingObstacle: "EPERM" }, ["ptrace", "Yama"]],
	["Yama forbids all", { yamaScope: 3, tracingObstacle: "EPERM" }, ["ptrace", "Yama"]],
	["sealed mappings are no problem", { isSealed: true }, []],
	["/proc does not tell", { isSealed: undefined, clockSource: "" }, []],
	["no 32-bit programs", { entry32: undefined }, ["32-bit entry"]],
	["inside of a run 32-bit programs are not tried", { entry32: undefined, isInRun: true }, []],
];

suite("the checks of a host", () => {
	for (const [rule, facts, expected] of ROWS) {
		test(rule, () => {
			assert.deepEqual(problems(facts), expected);
			for (const { state, remedy } of checkHostFacts({ ...WELL, ...facts })) {
				assert.equal(remedy !== undefined, state === "problem");
			}
		});
	}

	test("a clock source that does not trap is proposed where there is one", () => {
		assert.match(remedies(["hpet", "tsc"]), /echo tsc >/);
		assert.doesNotMatch(remedies(["hpet", "acpi_pm"]), /echo/);
	});
});
