/** One boot of a kernel under QEMU's TCG, in which a list of commands is run; their output comes back over the serial line. */
import { execFileSync, spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { CLI } from "../helpers/vsyscall.ts";
import type { Kernel } from "./kernels.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const MODULES = ["koffi", "@koromix/koffi-linux-x64", "iced-x86", "commander"];
const LIMIT_MS = 300_000;
/** Boots of a kernel that dies before it has started any program of ours. */
const ATTEMPTS = 3;

export interface Command {
	readonly name: string;
	/** For the shell of busybox. `vsyscall` is there. */
	readonly script: string;
}

export interface Outcome {
	readonly stdout: string;
	readonly stderr: string;
	readonly status: number;
}

export interface Boot {
	readonly kernel: Kernel;
	/** What the kernel is told behind `vsyscall=`. */
	readonly mode: string;
	/** Programs: name in /bin -> file here. */
	readonly programs: ReadonlyMap<string, string>;
	readonly commands: readonly Command[];
}

const sharedLibraries = (file: string): readonly string[] =>
	execFileSync("ldd", [file], { encoding: "utf8" })
		.split("\n")
		.flatMap((line) => /(\/\S+) \(0x/.exec(line)?.[1] ?? []);

/** What init says first. */
const STARTED = "@@ started";

const INIT = `#!/bin/busybox sh
/bin/busybox echo "${STARTED}"
/bin/busybox mkdir -p /proc /sys /dev /tmp
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp
cd /tmp
for script in /commands/*; do
	sh $script >/tmp/out 2>/tmp/err </dev/null
	status=$?
	echo
	echo "@@ \${script##*/} $status $(base64 -w0 /tmp/out) . $(base64 -w0 /tmp/err) ."
done
echo "@@ end 0 $(dmesg | grep -E 'Oops|BUG:|WARNING:' | base64 -w0) . ."
poweroff -f
`;

/** Runs vsyscall as an ordinary user: busybox has no command for that here. */
const AS_NOBODY = `#!/bin/node
const { spawnSync } = require("node:child_process");
const { status } = spawnSync("/bin/vsyscall", process.argv.slice(2), { stdio: "inherit", uid: 65534, gid: 65534 });
process.exit(status);
`;

const makeInitramfs = (directory: string, { programs, commands }: Boot): string => {
	const root = join(directory, "root");
	for (const folder of ["bin", "commands", "app/dist", "lib64"]) mkdirSync(join(root, folder), { recursive: true });
	const busybox = execFileSync("sh", ["-c", "command -v busybox"], { encoding: "utf8" }).trim();
	cpSync(busybox, join(root, "bin/busybox"), { dereference: true });
	cpSync(process.execPath, join(root, "bin/node"), { dereference: true });
	for (const library of sharedLibraries(process.execPath)) {
		mkdirSync(join(root, dirname(library)), { recursive: true });
		cpSync(library, join(root, library), { dereference: true });
	}
	cpSync(CLI, join(root, "app/dist/vsyscall.cjs"));
	cpSync(join(dirname(CLI), "verbs"), join(root, "app/dist/verbs"), { recursive: true });
	for (const name of MODULES) {
		cpSync(join(ROOT, "node_modules", name), join(root, "app/node_modules", name), {
			recursive: true,
			filter: (path) => !/\.(?:map|d\.ts|md|cc|hh)$|koffi\/(?:vendor|doc)/.test(path),
		});
	}
	for (const [name, file] of programs) cpSync(file, join(root, "bin", name), { dereference: true });
	writeFileSync(join(root, "bin/vsyscall"), '#!/bin/sh\nexec /bin/node /app/dist/vsyscall.cjs "$@"\n', { mode: 0o755 });
	writeFileSync(join(root, "bin/as-nobody"), AS_NOBODY, { mode: 0o755 });
	for (const [index, { name, script }] of commands.entries()) {
		writeFileSync(join(root, "commands", `${String(index).padStart(3, "0")}-${name}`), `${script}\n`);
	}
	writeFileSync(join(root, "init"), INIT, { mode: 0o755 });
	const file = join(directory, "initramfs.gz");
	execFileSync("sh", ["-c", `find . | busybox cpio -o -H newc 2>/dev/null | gzip -1 >'${file}'`], { cwd: root });
	return file;
};

const decoded = (encoded: string): string => Buffer.from(encoded, "base64").toString();

const parse = (console: string, { commands, mode, kernel }: Boot): ReadonlyMap<string, Outcome> => {
	const outcomes = new Map<string, Outcome>();
	for (const [, name = "", status, stdout = "", stderr = ""] of console.matchAll(
		/^@@ (\S+) (\d+) ([\w+/=]*) \. ([\w+/=]*) ?\.\r?$/gm,
	)) {
		outcomes.set(name.replace(/^\d+-/, ""), {
			status: Number(status),
			stdout: decoded(stdout),
			stderr: decoded(stderr),
		});
	}
	if (outcomes.size < commands.length + 1) {
		throw new Error(`${kernel.release} vsyscall=${mode}: the machine did not end: ...${console.slice(-2000)}`);
	}
	return outcomes;
};

/** @returns what came over the serial line until the machine powered itself off, panicked or ran out of time */
const consoleOf = async ({ kernel, mode }: Boot, initramfs: string): Promise<string> => {
	const append = `console=ttyS0 quiet panic=-1 tsc=reliable vsyscall=${mode}`;
	// One thread for both processors: with a thread each, one can run an int3 of the kernel's own code patching from a translation
	// that is no longer true ("Oops: int3" while 7.3.4 starts, seen once in some ten boots on a busy host with QEMU 7.2).
	const args = ["-accel", "tcg,thread=single", "-cpu", "max", "-smp", "2", "-m", "1500", "-nographic", "-no-reboot"];
	const qemu = spawn(
		"qemu-system-x86_64",
		[...args, "-kernel", kernel.image, "-initrd", initramfs, "-append", append],
		{ stdio: ["ignore", "pipe", "inherit"] },
	);
	let console = "";
	qemu.stdout.setEncoding("latin1").on("data", (text: string) => (console += text));
	const timeout = setTimeout(() => qemu.kill("SIGKILL"), LIMIT_MS);
	await new Promise((resolve, reject) => qemu.on("close", resolve).on("error", reject));
	clearTimeout(timeout);
	return console;
};

/**
 * Boots, runs the commands, powers off. A kernel that dies by itself, before init, is booted again.
 *
 * @returns what came of each command, and of "end": what the kernel complained about
 */
export const boot = async (machine: Boot): Promise<ReadonlyMap<string, Outcome>> => {
	const directory = mkdtempSync(join(tmpdir(), "vsyscall-host-"));
	try {
		const initramfs = makeInitramfs(directory, machine);
		let console = "";
		for (let attempt = 0; attempt < ATTEMPTS && !console.includes(STARTED); attempt++) {
			console = await consoleOf(machine, initramfs);
		}
		return parse(console, machine);
	} finally {
		rmSync(directory, { recursive: true, force: true });
	}
};
