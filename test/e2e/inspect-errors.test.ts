/** What `vsyscall inspect` and `vsyscall doctor` say of what they cannot look at: one line, status 125, nothing on stdout. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { setU16 } from "../../src/bytes.ts";
import { E_MACHINE } from "../../src/elf/class-layout.ts";
import { EM_AARCH64 } from "../../src/elf/constants.ts";
import { image32 } from "../elf/samples.ts";
import { build } from "../helpers/fixtures.ts";
import { hostImage } from "../helpers/host-image.ts";
import { inspect } from "../helpers/inspected.ts";
import { has, isRoot } from "../helpers/requirements.ts";
import { type Finished, type RunSettings, vsyscall } from "../helpers/vsyscall.ts";

const TIMEOUT = { timeout: 300_000 };
const NOBODY = 65534;
const directory = mkdtempSync(join(tmpdir(), "vsyscall-inspect-"));
chmodSync(directory, 0o755);
after(() => rmSync(directory, { recursive: true, force: true }));

const assertOneLine = ({ stdout, stderr, exitCode, signal }: Finished, status: number, part: RegExp): void => {
	assert.match(stderr, /^vsyscall: [^\n]+\n$/);
	assert.match(stderr, part);
	assert.deepEqual([stdout, exitCode, signal], ["", status, null]);
};

const file = (name: string, content: string | Uint8Array, mode = 0o644): string => {
	const path = join(directory, name);
	writeFileSync(path, content);
	chmodSync(path, mode);
	return path;
};

const deadProcess = (): Promise<number> =>
	new Promise((resolve) => {
		const child = spawn("true", { stdio: "ignore" });
		child.on("close", () => resolve(child.pid ?? 0));
	});

suite("what cannot be inspected ends with 125 and one line", () => {
	type Case = readonly [name: string, args: () => readonly string[], part: RegExp];
	const cases: readonly Case[] = [
		["a file that is missing", () => [join(directory, "missing")], /missing cannot be read: there is no such file/],
		["an empty file", () => [file("empty", "")], /it is empty/],
		["a directory", () => [directory], /it is a directory/],
		["a device", () => ["/dev/null"], /not a regular file/],
		["a FIFO, without waiting for a writer", () => [fifo()], /not a regular file/],
		[
			"a file that is not ELF",
			() => [file("text", "hello, world\n".repeat(100))],
			/neither a vDSO image nor a core file/,
		],
		["a file of three bytes", () => [file("short", "abc")], /3 bytes, expected an ELF header/],
		["a big-endian ELF file", () => [file("big-endian", bigEndian())], /big endian/],
		["an image that ends in its headers", () => [file("cut", hostImage().subarray(0, 100))], /Program headers/],
		["a program", () => [process.execPath], /is a program.*vsyscall doctor/],
		[
			"a symbol that the image has not",
			() => ["--host", "--disassemble", "nonesuch"],
			/no function nonesuch.*clock_gettime/,
		],
		["a target and --host", () => ["--host", "1"], /both given/],
		["a dump to a directory that is not there", () => ["--dump", join(directory, "no/where")], /cannot be written/],
		["an unknown option", () => ["--nope"], /--nope/],
		["two targets", () => ["1", "2"], /too many arguments/],
	];
	for (const [name, args, part] of cases) {
		test(name, TIMEOUT, async () => assertOneLine(await vsyscall(["inspect", ...args()]), 125, part));
	}

	test("a process that has ended", TIMEOUT, async () => {
		const pid = await deadProcess();
		assertOneLine(await vsyscall(["inspect", String(pid)]), 125, new RegExp(`there is no process ${pid}`));
	});

	test("a process of another user", TIMEOUT, async (t) => {
		if (!isRoot(t)) return;
		const settings: RunSettings = { uid: NOBODY, gid: NOBODY, cwd: "/" };
		const finished = await vsyscall(["inspect", String(process.pid)], settings);
		assertOneLine(finished, 125, /belongs to user 0/);
	});

	test("a file that this user may not read", TIMEOUT, async (t) => {
		if (!isRoot(t)) return;
		const path = file("secret", hostImage(), 0o600);
		const finished = await vsyscall(["inspect", path], { uid: NOBODY, gid: NOBODY, cwd: "/" });
		assertOneLine(finished, 125, /no permission/);
	});

	test("the image of a kernel thread", TIMEOUT, async (t) => {
		if (!isRoot(t)) return;
		const thread = 2;
		if (readFileSync(`/proc/${thread}/maps`, "latin1") !== "") return t.skip("pid 2 is no kernel thread here");
		const { target, image } = await inspect([String(thread)]);
		assert.deepEqual([target.emptiness, image], ["kernel thread", null]);
		assertOneLine(await vsyscall(["inspect", "2", "--dump", join(directory, "none")]), 125, /process 2 has no image/);
	});
});

const fifo = (): string => {
	const path = join(directory, "fifo");
	execFileSync("mkfifo", [path]);
	return path;
};

const bigEndian = (): Uint8Array => {
	const bytes = hostImage();
	bytes[5] = 2;
	return bytes;
};

suite("images of other machines", () => {
	test("i386: decoded as 32-bit code", TIMEOUT, async () => {
		const { image, disassembly } = await inspect([file("image32.so", image32()), "--disassemble", "__vdso_time"]);
		assert.deepEqual([image?.abi, image?.verdict?.profile, image?.verdict?.violations], ["i386", "host", []]);
		assert.deepEqual(disassembly?.[0]?.instructions[0]?.text, "ret");
	});

	test("x32: 32-bit addresses and 64-bit code", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const source = file("x32.c", "long __vdso_time(long *t) { if (t) *t = 1; return 1; }\n");
		const path = join(directory, "x32.so");
		execFileSync("gcc", [
			"-mx32",
			"-shared",
			"-nostdlib",
			"-fPIC",
			"-Os",
			"-Wl,-soname,linux-vdso.so.1",
			"-o",
			path,
			source,
		]);
		const { image, disassembly } = await inspect([path, "--disassemble", "__vdso_time"]);
		assert.deepEqual([image?.abi, image?.soname], ["x32", "linux-vdso.so.1"]);
		assert.ok(disassembly?.[0]?.instructions.some(({ text }) => text === "ret"));
	});

	test("arm64: everything but the code", TIMEOUT, async () => {
		const bytes = hostImage();
		setU16(bytes, E_MACHINE, EM_AARCH64);
		const path = file("arm64.so", bytes);
		const { image } = await inspect([path]);
		assert.deepEqual([image?.abi, image?.verdict], ["aarch64", null]);
		assert.equal(image?.symbols.length, (await inspect(["--host"])).image?.symbols.length);
		const { stdout } = await vsyscall(["inspect", path]);
		assert.match(stdout, /^code +for aarch64: not decoded$/m);
		assertOneLine(await vsyscall(["inspect", path, "--disassemble"]), 125, /aarch64 and is not decoded/);
	});
});

suite("a core file that is cut off", () => {
	test("at any place gives a report of what is left or one line", TIMEOUT, async (t) => {
		if (!has(t, "gcc", "gcore")) return;
		const child = spawn(build("glibc-static", "waits.c"), { stdio: ["ignore", "pipe", "ignore"] });
		await new Promise<void>((resolve) => child.stdout.once("data", () => resolve()));
		execFileSync("gcore", ["-o", join(directory, "core"), String(child.pid)], { stdio: "ignore" });
		child.kill("SIGKILL");
		const whole = readFileSync(join(directory, `core.${child.pid}`));
		const { image } = await inspect([join(directory, `core.${child.pid}`)]);
		assert.equal(image?.soname, "linux-vdso.so.1");
		for (const part of [0.9, 0.5, 0.2, 0.05, 0.01, 0.001]) {
			const path = file("cut-core", whole.subarray(0, Math.floor(whole.length * part)));
			const finished = await vsyscall(["inspect", path, "--json"]);
			if (finished.exitCode !== 0) assertOneLine(finished, 125, /neither a vDSO image nor a core file/);
			else assert.equal(finished.stderr, "");
		}
	});
});

suite("what doctor cannot look at ends with one line", () => {
	type Case = readonly [name: string, target: () => string, status: number, part: RegExp];
	const cases: readonly Case[] = [
		["a name that is not in PATH", () => "no-such-program", 127, /not found in PATH/],
		["a file that is missing", () => join(directory, "missing"), 125, /there is no such file/],
		["an empty file", () => file("empty-program", "", 0o755), 125, /it is empty/],
		[
			"a file that is neither ELF nor a script",
			() => file("notes", "buy milk\n"),
			126,
			/neither a program nor a script/,
		],
		["a kernel thread", () => "2", 125, /kernel thread/],
		["a directory that is missing", () => join(directory, "none/"), 125, /there is no such file/],
	];
	for (const [name, target, status, part] of cases) {
		test(name, TIMEOUT, async () => assertOneLine(await vsyscall(["doctor", target()]), status, part));
	}

	test("a directory that may not be listed is said, and the rest counts", TIMEOUT, async (t) => {
		if (!isRoot(t)) return;
		const path = join(directory, "tree");
		mkdirSync(join(path, "closed"), { recursive: true });
		chmodSync(join(path, "closed"), 0o700);
		const { stdout, exitCode } = await vsyscall(["doctor", path], { uid: NOBODY, gid: NOBODY, cwd: "/" });
		assert.match(stdout.replaceAll(/\s+/g, " "), /not looked at: \S+\/closed/);
		assert.equal(exitCode, 0);
	});
});
