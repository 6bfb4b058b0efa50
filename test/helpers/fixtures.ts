/** Test programs, built from sources in test/fixtures on first use and kept in dist/fixtures. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

const SOURCES = fileURLToPath(new URL("../../../test/fixtures/", import.meta.url));
const BUILT = fileURLToPath(new URL("../../fixtures/", import.meta.url));

/** The path of a file in test/fixtures. */
export const fixturePath = (name: string): string => join(SOURCES, name);

export type Toolchain =
	| "glibc"
	| "glibc-static"
	| "glibc-static-pie"
	| "musl"
	| "musl-static"
	| "glibc-32"
	| "glibc-32-static"
	| "glibc-32-time64"
	| "glibc-32-no-pie"
	| "c++"
	| "go"
	| "go-386"
	| "java";

const COMMANDS: Readonly<Record<Toolchain, (source: string, output: string) => readonly string[]>> = {
	glibc: (source, output) => ["gcc", "-O1", "-g", "-pthread", "-o", output, source],
	"glibc-static": (source, output) => ["gcc", "-O1", "-g", "-pthread", "-static", "-o", output, source],
	"glibc-static-pie": (source, output) => ["gcc", "-O1", "-g", "-pthread", "-static-pie", "-o", output, source],
	musl: (source, output) => ["musl-gcc", "-O1", "-g", "-pthread", "-o", output, source],
	"musl-static": (source, output) => ["musl-gcc", "-O1", "-g", "-pthread", "-static", "-o", output, source],
	"glibc-32": (source, output) => ["gcc", "-m32", "-O1", "-g", "-pthread", "-o", output, source],
	"glibc-32-static": (source, output) => ["gcc", "-m32", "-O1", "-g", "-pthread", "-static", "-o", output, source],
	"glibc-32-time64": (source, output) =>
		`gcc -m32 -D_TIME_BITS=64 -D_FILE_OFFSET_BITS=64 -O1 -g -pthread -o ${output} ${source}`.split(" "),
	"glibc-32-no-pie": (source, output) => ["gcc", "-m32", "-O1", "-g", "-no-pie", "-o", output, source],
	"c++": (source, output) => ["g++", "-O1", "-g", "-pthread", "-fnon-call-exceptions", "-o", output, source],
	go: (source, output) => ["go", "build", "-o", output, source],
	"go-386": (source, output) => ["env", "GOARCH=386", "go", "build", "-o", output, source],
	java: (source, output) => ["javac", "-d", output, source],
};

/**
 * Builds a source of test/fixtures and returns the path of the result (a directory of classes for "java").
 *
 * @param flags further arguments of the compiler, behind the source
 */
export const build = (toolchain: Toolchain, name: string, flags: readonly string[] = []): string => {
	const source = fixturePath(name);
	const hash = createHash("sha1")
		.update(readFileSync(source))
		.update(JSON.stringify([toolchain, flags]))
		.digest("hex");
	const output = join(BUILT, `${basename(name).replace(/\..*/, "")}-${toolchain}-${hash.slice(0, 12)}`);
	if (existsSync(output)) return output;
	mkdirSync(BUILT, { recursive: true });
	const temporary = `${output}.${process.pid}`;
	if (toolchain === "java") mkdirSync(temporary);
	const [file = "", ...args] = [...COMMANDS[toolchain](source, temporary), ...flags];
	const env = {
		...process.env,
		GOCACHE: join(BUILT, "go-cache"),
		GOFLAGS: "-mod=mod",
		GO111MODULE: "off",
		CGO_ENABLED: "0",
	};
	execFileSync(file, args, { env, stdio: ["ignore", "ignore", "inherit"] });
	try {
		renameSync(temporary, output);
	} catch (error) {
		// Another test file was faster.
		if (!existsSync(output)) throw error;
	}
	return output;
};
