/** What the fixtures clock-facts.c and clock-order.c print, and what must hold for it. */
import assert from "node:assert/strict";
import { build } from "../helpers/fixtures.ts";
import { type Finished, native, runUnder } from "../helpers/vsyscall.ts";
import { bracketOf, type ClockCase, cleanOutput, readHostTimes, wallSpan } from "./programs-clocks.ts";

type Fact = Readonly<Record<string, unknown>>;

const parseFacts = (finished: Finished): readonly Fact[] =>
	cleanOutput(finished)
		.trim()
		.split("\n")
		.map((line) => JSON.parse(line) as Fact);

const named = (facts: readonly Fact[], name: string): readonly Fact[] => facts.filter(({ fact }) => fact === name);

/** What two images of one host have in common: neither whose they are nor the order of the symbols. */
const comparable = (facts: readonly Fact[]): readonly string[] => {
	const symbols = named(facts, "symbol").map((fact) => JSON.stringify(fact));
	const others = facts.filter(({ fact }) => fact !== "symbol" && fact !== "image");
	return [...symbols.toSorted(), ...others.map((fact) => JSON.stringify(fact))];
};

const FUNCTIONS = ["clock_gettime", "gettimeofday", "time", "getcpu", "clock_getres"];

/** What holds whichever image it is. */
const assertPromises = (facts: readonly Fact[]): void => {
	for (const name of FUNCTIONS.flatMap((plain) => [plain, `__vdso_${plain}`])) {
		const symbol = named(facts, "symbol").find((fact) => fact["name"] === name);
		// STT_FUNC; STB_WEAK for the plain name, STB_GLOBAL for the other.
		const bind = name.startsWith("__") ? 1 : 2;
		const expected = { fact: "symbol", name, type: 2, bind, version: "LINUX_2.6", "as plain": 1, "as dlvsym": 1 };
		assert.deepEqual(symbol, expected);
	}
	for (const fact of facts) {
		// A function of the vDSO never touches errno, nor a register that the caller keeps.
		if ("errno" in fact) assert.deepEqual([fact["errno"], fact["registers"]], [12345, 0], JSON.stringify(fact));
		if ("bracketed" in fact) assert.equal(fact["bracketed"], 1, JSON.stringify(fact));
		if ("as the kernel" in fact) assert.equal(fact["as the kernel"], 1, JSON.stringify(fact));
		if ("stored is not returned" in fact) assert.equal(fact["stored is not returned"], 0);
	}
};

const addressOf = (at: unknown): bigint => {
	const [, page, hex] = /^(?:pages\+(\d+)|([0-9a-f]+))$/.exec(String(at)) ?? [];
	return page === undefined ? BigInt(`0x${hex}`) : BigInt(page);
};

/** Pointers to a timespec whose two words lie on different pages. */
const STRADDLING = ["into not accessible", "from read-only"];

/**
 * A fact, as far as it does not depend on the order in which the two words of a timespec or a timeval are stored: a fault may
 * name either, and of a structure on two pages the half that can be stored may be stored or not.
 */
const withoutStoreOrder = (fact: Fact, other: Fact | undefined): Fact => {
	if (!("signal" in fact) || other === undefined || fact["fact"] !== "clock_gettime") return fact;
	const distance = BigInt.asIntN(64, addressOf(fact["at"]) - addressOf(other["at"] ?? 0));
	const isOtherWord = distance === 8n || distance === -8n;
	return {
		...fact,
		...(isOtherWord ? { at: other["at"] } : {}),
		...(STRADDLING.includes(String(fact["pointer"])) ? { written: other["written"] } : {}),
	};
};

/**
 * Asserts that every call under the clock returns, stores and faults as it does natively.
 *
 * @param inside a command that starts the program
 * @param hasStoreOrder the host's functions store the two words of a time in the order in which ours do
 */
export const assertFactsAsNative = async (
	spec: string,
	inside: readonly string[] = [],
	hasStoreOrder = true,
): Promise<void> => {
	const command = [...inside, build("glibc", "clock-facts.c", ["-ldl"])];
	const expected = parseFacts(await native(command));
	const facts = parseFacts(await runUnder(spec, command));
	assert.deepEqual(named(expected, "image"), [{ fact: "image", kernels: 1 }]);
	assert.deepEqual(named(facts, "image"), [{ fact: "image", kernels: 0 }]);
	assertPromises(expected);
	assertPromises(facts);
	const compared = hasStoreOrder ? facts : facts.map((fact, index) => withoutStoreOrder(fact, expected[index]));
	assert.deepEqual(comparable(compared), comparable(expected));
};

/** A ticking wall is watched until it has turned its second this often, too. */
const TURNS = 2;
const ROUNDS = 1_000_000;

interface Order {
	readonly rounds: number;
	readonly turns: number;
	readonly first: readonly [seconds: number, nanoseconds: number];
	readonly last: readonly [seconds: number, nanoseconds: number];
	readonly broken: readonly string[];
}

const nanosecondsOf = ([seconds, rest]: Order["first"]): bigint => BigInt(seconds) * 1_000_000_000n + BigInt(rest);

/** Asserts that the wall clocks agree with each other, and with the clock, in a million rounds. */
export const assertOrder = async (clock: ClockCase, inside: readonly string[] = []): Promise<void> => {
	const program = build("glibc", "clock-order.c", ["-ldl"]);
	const before = readHostTimes();
	const turns = clock.isFrozen ? 0 : TURNS;
	const command = [...inside, program, String(ROUNDS), String(turns), clock.isFrozen ? "frozen" : "ticking"];
	const order = JSON.parse(cleanOutput(await runUnder(clock.spec, command))) as Order;
	const wall = wallSpan(clock, bracketOf(before, readHostTimes()));
	assert.deepEqual(order.broken, []);
	assert.ok(order.rounds >= ROUNDS && order.turns >= turns, `${order.rounds} rounds, ${order.turns} seconds`);
	const [first, last] = [nanosecondsOf(order.first), nanosecondsOf(order.last)];
	assert.ok(wall.from <= first && last <= wall.to, `${first} .. ${last} is not in ${wall.from} .. ${wall.to}`);
	if (clock.isFrozen) assert.equal(first, last);
};
