/** Real kernels of Debian, found in its archive, checked, and kept in a cache outside of the repository. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

const ARCHIVE = "http://deb.debian.org/debian";
const CACHE = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "vsyscall-hosts");

/** Suites, the oldest kernel first. */
export const SUITES = ["bullseye", "bookworm", "trixie", "trixie-backports"] as const;
export type Suite = (typeof SUITES)[number];

export interface Kernel {
	/** As `uname -r` says. */
	readonly release: string;
	readonly image: string;
}

const get = async (path: string): Promise<Uint8Array> => {
	const response = await fetch(`${ARCHIVE}/${path}`);
	if (!response.ok) throw new Error(`${ARCHIVE}/${path}: ${response.status}`);
	return new Uint8Array(await response.arrayBuffer());
};

/** Where the kernel is has changed: /boot, then /usr/lib/modules. */
const imageIn = (directory: string): Kernel | undefined => {
	if (!existsSync(directory)) return undefined;
	const files = readdirSync(directory, { recursive: true, encoding: "utf8" });
	const file = files.find((path) => /(?:^|\/)vmlinuz[^/]*$/.test(path));
	const [release] = /[0-9]+\.[0-9][^/]*cloud-amd64/.exec(file ?? "") ?? [];
	return file === undefined || release === undefined ? undefined : { release, image: join(directory, file) };
};

/** The newest cloud kernel of a suite, for x86-64. @throws {Error} when the archive cannot be reached or the file is not the listed one. */
export const fetchKernel = async (suite: Suite): Promise<Kernel> => {
	const directory = join(CACHE, suite);
	const cached = imageIn(directory);
	if (cached !== undefined) return cached;
	const packed = await get(`dists/${suite}/main/binary-amd64/Packages.xz`);
	const index = execFileSync("xz", ["-dc"], { input: packed, maxBuffer: 1 << 30, encoding: "utf8" });
	const packages = index.split("\n\n");
	// linux-image has the kernel itself up to Linux 7.2, and then only depends on linux-binary.
	const newest = (kind: string): string | undefined =>
		packages.filter((text) => new RegExp(`^Package: linux-${kind}-[0-9].*-cloud-amd64$`, "m").test(text)).at(-1);
	const entry = newest("binary") ?? newest("image");
	const [, file] = /^Filename: (.*)$/m.exec(entry ?? "") ?? [];
	const [, sha256] = /^SHA256: (.*)$/m.exec(entry ?? "") ?? [];
	if (file === undefined) throw new Error(`no kernel in ${suite}`);
	const bytes = await get(file);
	const found = createHash("sha256").update(bytes).digest("hex");
	if (found !== sha256) throw new Error(`${file} has SHA-256 ${found}, the archive lists ${sha256 ?? "none"}`);
	const temporary = `${directory}.${process.pid}`;
	mkdirSync(temporary, { recursive: true });
	writeFileSync(join(temporary, "kernel.deb"), bytes);
	execFileSync("dpkg-deb", ["-x", join(temporary, "kernel.deb"), temporary]);
	rmSync(join(temporary, "kernel.deb"));
	rmSync(directory, { recursive: true, force: true });
	renameSync(temporary, directory);
	const kernel = imageIn(directory);
	if (kernel === undefined) throw new Error(`${file} has no kernel`);
	return kernel;
};
