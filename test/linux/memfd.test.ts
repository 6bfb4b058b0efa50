/** Memory files: who may write to them, before and after sealing. */
import assert from "node:assert/strict";
import { closeSync, fstatSync, openSync, readFileSync, readSync, writeSync } from "node:fs";
import { constants } from "node:os";
import { describe, test } from "node:test";
import * as linux from "../../src/linux/constants.ts";
import { rawSyscall, syscallResult, viewMemory } from "../../src/linux/ffi.ts";
import { createMemoryFile, fillFile, mapCode, mapShared, sealAgainstWriting } from "../../src/linux/memfd.ts";
import { NUMBERS } from "../../src/syscalls/numbers.ts";
import { callable } from "../vdso/machine.ts";

const PAGE = 4096;
const SYS_ftruncate = 77;
const F_GET_SEALS = 1034;
const { EPERM, EACCES } = constants.errno;

const readWrite = linux.PROT_READ | linux.PROT_WRITE;
const map = (fd: number, protection: number, flags: number): number | bigint =>
	rawSyscall(linux.SYS_mmap, 0, PAGE, protection, flags, fd, 0);

describe("a memory file", () => {
	test("is closed by exec, named vsyscall, and empty", () => {
		const fd = createMemoryFile();
		assert.equal(syscallResult(linux.SYS_fcntl, fd, linux.F_GETFD) & linux.FD_CLOEXEC, linux.FD_CLOEXEC);
		assert.equal(fstatSync(fd).size, 0);
		assert.match(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"), /^pos:\t0$/m);
		closeSync(fd);
	});

	test("has what it was filled with, at any offset, zeros in the gap", () => {
		const fd = createMemoryFile();
		fillFile(fd, Uint8Array.of(1, 2, 3), 0);
		fillFile(fd, new Uint8Array(10_000).fill(7), 100);
		const bytes = new Uint8Array(10_100);
		assert.equal(readSync(fd, bytes, 0, bytes.length, 0), bytes.length);
		assert.deepEqual([...bytes.subarray(0, 5), bytes[99], bytes[100], bytes[10_099]], [1, 2, 3, 0, 0, 0, 7, 7]);
		closeSync(fd);
	});
});

describe("a sealed file", () => {
	const fd = createMemoryFile();
	fillFile(fd, new Uint8Array(PAGE).fill(1), 0);
	const mapping = mapShared(fd, 0, PAGE);
	const before = map(fd, linux.PROT_READ, linux.MAP_SHARED);
	sealAgainstWriting(fd);
	const seals = syscallResult(linux.SYS_fcntl, fd, F_GET_SEALS);
	const isSealed = (seals & linux.F_SEAL_FUTURE_WRITE) !== 0;
	const ways: readonly (readonly [string, number, (target: number) => number | bigint])[] = [
		["write(2)", EPERM, (target) => rawSyscall(linux.SYS_pwrite64, target, Uint8Array.of(9), 1, 0)],
		["a writable shared mapping", EPERM, (target) => map(target, readWrite, linux.MAP_SHARED)],
		["growing", EPERM, (target) => rawSyscall(SYS_ftruncate, target, 2 * PAGE)],
		["shrinking", EPERM, (target) => rawSyscall(SYS_ftruncate, target, 0)],
		["taking the seals away", EPERM, (target) => rawSyscall(linux.SYS_fcntl, target, linux.F_ADD_SEALS, 0x20)],
	];
	for (const [name, errno, attempt] of ways) {
		test(`refuses ${name}`, (t) => {
			if (!isSealed) return t.skip("Linux 5.1 brought F_SEAL_FUTURE_WRITE");
			assert.equal(Number(attempt(fd)), -errno);
			const again = openSync(`/proc/self/fd/${fd}`, "r+");
			assert.equal(Number(attempt(again)), -errno, "through /proc");
			closeSync(again);
		});
	}

	test("refuses to make a read-only shared mapping writable", (t) => {
		if (!isSealed) return t.skip("Linux 5.1 brought F_SEAL_FUTURE_WRITE");
		const later = map(fd, linux.PROT_READ, linux.MAP_SHARED);
		assert.ok(later > 0);
		assert.equal(syscallResult(NUMBERS["x86-64"].mprotect, later, PAGE, readWrite), -EACCES);
	});

	test("refuses to map a read-only descriptor writable", () => {
		const readOnly = openSync(`/proc/self/fd/${fd}`, "r");
		assert.ok([-EPERM, -EACCES].includes(Number(map(readOnly, readWrite, linux.MAP_SHARED))));
		assert.throws(() => writeSync(readOnly, Uint8Array.of(1)), { code: "EBADF" });
		closeSync(readOnly);
	});

	test("can be written through the mapping that was there, and every reader sees it", () => {
		const later = viewMemory(BigInt(map(fd, linux.PROT_READ, linux.MAP_SHARED)), PAGE);
		const earlier = viewMemory(BigInt(before), PAGE);
		for (const value of [42, 43]) {
			mapping[5] = value;
			assert.deepEqual([later[5], earlier[5]], [value, value]);
			const byte = new Uint8Array(1);
			readSync(fd, byte, 0, 1, 5);
			assert.equal(byte[0], value);
		}
	});

	test("can be copied privately, which changes nothing for others", () => {
		const mine = viewMemory(BigInt(map(fd, readWrite, linux.MAP_PRIVATE)), PAGE);
		mine[9] = 99;
		assert.equal(mapping[9], 1);
	});
});

test("mapped code runs and cannot be written", () => {
	// mov eax, 42; ret
	const address = mapCode(Uint8Array.of(0xb8, 42, 0, 0, 0, 0xc3));
	assert.equal(callable(address)(), 42n);
	const line = readFileSync("/proc/self/maps", "latin1")
		.split("\n")
		.find((mapping) => mapping.startsWith(address.toString(16)));
	assert.match(line ?? "", /^[0-9a-f]+-[0-9a-f]+ r-xp /);
});
