/** The wrapper of syscall(2), and what its failures tell. */
import assert from "node:assert/strict";
import { closeSync, openSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { describe, test } from "node:test";
import * as linux from "../../src/linux/constants.ts";
import { addressOf, checkedSyscall, ownAuxv, rawSyscall, syscallResult, viewMemory } from "../../src/linux/ffi.ts";
import { errnoName, SyscallError } from "../../src/linux/syscall-error.ts";
import { VsyscallError } from "../../src/errors.ts";

const SYS_getpid = 39;
const SYS_lseek = 8;
const { EBADF, EINVAL, EFAULT, ESRCH, ENOSYS, ECHILD } = constants.errno;

describe("a system call", () => {
	test("returns its result", () => {
		assert.equal(rawSyscall(SYS_getpid), process.pid);
		assert.equal(syscallResult(SYS_getpid), process.pid);
		assert.equal(checkedSyscall("getpid", SYS_getpid), process.pid);
	});

	for (const [name, errno, call] of [
		["a bad descriptor", EBADF, () => rawSyscall(linux.SYS_close, 999_999)],
		["a negative argument", EBADF, () => rawSyscall(linux.SYS_close, -1)],
		["a bad address", EFAULT, () => rawSyscall(linux.SYS_clock_gettime, 0, 8)],
		["a bad id", EINVAL, () => rawSyscall(linux.SYS_clock_gettime, 99, 0)],
		["no such process", ESRCH, () => rawSyscall(linux.SYS_kill, 0x7fff_fff0, 0)],
		["no such call", ENOSYS, () => rawSyscall(100_000)],
		["no such child", ECHILD, () => rawSyscall(linux.SYS_wait4, 1, 0, linux.WNOHANG, 0)],
	] as const)
		test(`that fails returns the negative errno: ${name}`, () => assert.equal(Number(call()), -errno));

	test("does not lose errno to what JavaScript does in between", () => {
		for (let round = 0; round < 20_000; round++) {
			assert.equal(syscallResult(linux.SYS_close, -1), -EBADF);
			if (round % 100 === 0) assert.equal(syscallResult(linux.SYS_clock_gettime, 0, 8), -EFAULT);
			assert.equal(syscallResult(SYS_getpid), process.pid);
		}
	});

	test("takes words of 64 bits as they are", () => {
		const file = openSync("/proc/self/exe", "r");
		try {
			const far = 0x1_2345_6789n;
			assert.equal(BigInt(rawSyscall(SYS_lseek, file, far, 0)), far);
			assert.equal(BigInt(rawSyscall(SYS_lseek, file, -5, 1)), far - 5n);
		} finally {
			closeSync(file);
		}
	});

	test("reads and writes typed arrays of any kind, at their offset", () => {
		const whole = new BigInt64Array(8);
		assert.equal(rawSyscall(linux.SYS_clock_gettime, linux.CLOCK_REALTIME, whole.subarray(3, 5)), 0);
		assert.ok((whole[3] ?? 0n) > 1_600_000_000n);
		assert.deepEqual([...whole.subarray(0, 3), ...whole.subarray(5)], [0n, 0n, 0n, 0n, 0n, 0n]);
	});

	test("is refused with its name, its errno and the errno's name", () => {
		assert.throws(
			() => checkedSyscall("close", linux.SYS_close, -1),
			(error) => {
				assert.ok(error instanceof SyscallError && error instanceof VsyscallError);
				assert.deepEqual(
					[error.code, error.syscall, error.errno, error.errnoName],
					["ERR_VSYSCALL_SYSCALL", "close", EBADF, "EBADF"],
				);
				assert.equal(error.message, "close failed: EBADF");
				return true;
			},
		);
	});
});

test("errors have the names of errno.h, and unknown ones their number", () => {
	assert.equal(errnoName(1), "EPERM");
	assert.equal(errnoName(110), "ETIMEDOUT");
	assert.equal(errnoName(9999), "errno 9999");
});

test("memory is seen where the kernel sees it", () => {
	const array = new Uint8Array(4096).fill(3);
	const view = viewMemory(addressOf(array), array.length);
	assert.deepEqual(view, array);
	view[7] = 9;
	assert.equal(array[7], 9);
	assert.equal(addressOf(array.subarray(5)), addressOf(array) + 5n);
});

test("an entry of the auxiliary vector is what /proc says, and 0 when there is none", () => {
	const words = new BigUint64Array(new Uint8Array(readFileSync("/proc/self/auxv")).buffer);
	const entries = new Map(
		Array.from({ length: words.length / 2 }, (_, index) => [words[2 * index], words[2 * index + 1]]),
	);
	for (const type of [6, linux.AT_SYSINFO_EHDR, 9]) assert.equal(ownAuxv(type), entries.get(BigInt(type)) ?? 0n);
	assert.equal(ownAuxv(9999), 0n);
});
