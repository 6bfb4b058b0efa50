import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { VsyscallError } from "../../src/errors.ts";
import { checkHost } from "../../src/linux/host-check.ts";

test("Linux on x86-64 will do, and so does this host", () => {
	assert.doesNotThrow(() => checkHost("linux", "x64"));
	assert.doesNotThrow(() => checkHost());
});

describe("a host on which nothing can work is refused with what was found", () => {
	for (const [platform, arch, found] of [
		["darwin", "x64", /darwin.*Linux/],
		["win32", "x64", /win32.*Linux/],
		["freebsd", "x64", /freebsd.*Linux/],
		["darwin", "arm64", /darwin.*Linux/],
		["linux", "arm64", /arm64.*x86-64/],
		["linux", "ia32", /ia32.*x86-64/],
		["linux", "riscv64", /riscv64.*x86-64/],
		["linux", "s390x", /s390x.*x86-64/],
		["android", "x64", /android.*Linux/],
	] as const)
		test(`${platform} on ${arch}`, () => {
			assert.throws(
				() => checkHost(platform, arch),
				(error) => {
					assert.ok(error instanceof VsyscallError);
					assert.equal(error.code, "ERR_VSYSCALL_HOST");
					assert.match(error.message, found);
					assert.doesNotMatch(error.message, /\n/);
					return true;
				},
			);
		});
});
