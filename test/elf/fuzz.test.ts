/**
 * Mutated images: whatever the bytes, reading them gives a value or an ElfError, soon and without taking much memory.
 *
 *     VSYSCALL_FUZZ=1000000       the number of mutations; 20,000 by default
 *     VSYSCALL_FUZZ_SEED=12345    the seed that a failed run has printed
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { readCallFrames } from "../../src/elf/call-frame.ts";
import { ElfError } from "../../src/elf/elf-error.ts";
import { readElf } from "../../src/elf/reader.ts";
import { lookUpByGnuHash, lookUpBySysvHash } from "../../src/elf/symbol-lookup.ts";
import { verifyImage } from "../../src/elf/verify.ts";
import { hostImage } from "../helpers/host-image.ts";
import { image32 } from "./samples.ts";

const COUNT = Number(process.env["VSYSCALL_FUZZ"] ?? 20_000);
const SEED = Number(process.env["VSYSCALL_FUZZ_SEED"] ?? Date.now() % 0x1_0000_0000);
const PROGRAM_BYTES = 64 * 1024;
const LONGEST_MS = 1000;
const MEMORY_BYTES = 300 * 1024 * 1024;
/** Headers, tables and the dynamic section of all samples are in front. */
const FRONT_BYTES = 0x800;

/** Mulberry32: a number from 0 to before `limit`. */
const randomFrom = (seed: number): ((limit: number) => number) => {
	let state = seed >>> 0;
	return (limit) => {
		state = (state + 0x6d2b79f5) >>> 0;
		let mixed = Math.imul(state ^ (state >>> 15), state | 1);
		mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
		return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000) * limit);
	};
};

const random = randomFrom(SEED);
const SAMPLES = [hostImage(), new Uint8Array(readFileSync("/bin/true").subarray(0, PROGRAM_BYTES)), image32()];

const pick = <Value>(values: readonly Value[]): Value => values[random(values.length)] as Value;

const place = (bytes: Uint8Array): number =>
	random(random(2) === 0 ? Math.min(FRONT_BYTES, bytes.length) : bytes.length);

const INTERESTING = [
	0, 1, 2, 4, 7, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff,
];

const MUTATIONS: readonly ((bytes: Uint8Array) => Uint8Array)[] = [
	function flipBits(bytes) {
		for (let count = 1 + random(8); count > 0; count--) {
			const at = place(bytes);
			bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8));
		}
		return bytes;
	},
	function setBytes(bytes) {
		for (let count = 1 + random(8); count > 0; count--) bytes[place(bytes)] = random(256);
		return bytes;
	},
	function overwriteWords(bytes) {
		for (let count = 1 + random(4); count > 0; count--) {
			const value = random(3) === 0 ? bytes.length - random(16) : pick(INTERESTING);
			// The high half of a 64-bit word too, now and then.
			const words = random(4) === 0 ? [value, pick(INTERESTING)] : [value];
			const at = place(bytes) & ~3;
			for (const [index, word] of words.entries()) {
				for (let byte = 0; byte < 4; byte++) bytes[at + 4 * index + byte] = word >>> (8 * byte);
			}
		}
		return bytes;
	},
	function copyWord(bytes) {
		const from = place(bytes) & ~3;
		bytes.copyWithin(place(bytes) & ~3, from, from + 4 * (1 + random(8)));
		return bytes;
	},
	function truncate(bytes) {
		return bytes.slice(0, random(bytes.length));
	},
	function splice(bytes) {
		const other = pick(SAMPLES);
		const at = place(bytes) & ~7;
		const length = Math.min(8 * (1 + random(128)), other.length, bytes.length - at);
		const from = random(2) === 0 ? Math.min(at, other.length - length) : random(other.length - length + 1);
		bytes.set(other.subarray(from, from + length), at);
		return bytes;
	},
	function extend(bytes) {
		const extended = new Uint8Array(bytes.length + random(PROGRAM_BYTES));
		extended.set(bytes);
		extended.fill(pick([0, 1, 0x41, 0xff]), bytes.length);
		return extended;
	},
];

const mutate = (): Uint8Array => {
	let bytes: Uint8Array = pick(SAMPLES).slice();
	for (let count = 1 + random(3); count > 0; count--) bytes = pick(MUTATIONS)(bytes);
	return bytes;
};

/** Whether the image could be read. Anything thrown but ElfError is a failure of the test. */
const isReadable = (bytes: Uint8Array): boolean => {
	try {
		const elf = readElf(bytes);
		for (const name of ["__vdso_time", "time", "nothing"]) {
			lookUpBySysvHash(elf, name, "LINUX_2.6");
			lookUpByGnuHash(elf, name);
		}
		readCallFrames(elf);
		return true;
	} catch (error) {
		if (error instanceof ElfError) return false;
		throw error;
	}
};

test(`${COUNT} mutated images give a value or an ElfError`, { timeout: 3_600_000 }, (context) => {
	context.diagnostic(`VSYSCALL_FUZZ_SEED=${SEED}`);
	const memoryBefore = process.memoryUsage().rss;
	let memoryPeak = 0;
	let longest = 0;
	let readable = 0;
	const began = performance.now();
	for (let index = 0; index < COUNT; index++) {
		const bytes = mutate();
		const start = performance.now();
		try {
			if (isReadable(bytes)) readable++;
			if (index % 8 === 0) verifyImage(bytes, "own");
		} catch (error) {
			throw new Error(`Mutation ${index} of seed ${SEED}`, { cause: error });
		}
		longest = Math.max(longest, performance.now() - start);
		if (index % 256 === 0) memoryPeak = Math.max(memoryPeak, process.memoryUsage().rss - memoryBefore);
	}
	const seconds = ((performance.now() - began) / 1000).toFixed(1);
	context.diagnostic(
		`${seconds} s, ${readable} readable, longest ${longest.toFixed(1)} ms, memory +${(memoryPeak / 1048576).toFixed(0)} MiB`,
	);
	assert.ok(longest < LONGEST_MS, `the longest took ${longest} ms (seed ${SEED})`);
	assert.ok(memoryPeak < MEMORY_BYTES, `memory grew by ${memoryPeak} bytes (seed ${SEED})`);
	assert.ok(readable > COUNT / 50, "mutations so wild that hardly any image is read test little");
});
