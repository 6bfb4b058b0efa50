// One file for the command line: eighty small modules would cost more start-up time than the program itself (Node 20 reads
// and links each of them), and CommonJS starts faster than a module. koffi and iced-x86 stay outside: native code, and 0.9 MB
// that a run never loads.
import { execFileSync } from "node:child_process";
import { chmodSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

await build({
	entryPoints: ["dist/src/cli/main.js"],
	outfile: "dist/vsyscall.cjs",
	bundle: true,
	minifyWhitespace: true,
	minifySyntax: true,
	platform: "node",
	target: "node20",
	format: "cjs",
	external: ["koffi", "iced-x86"],
	// createRequire(import.meta.url) must go on finding koffi beside the bundle.
	define: { "import.meta.url": "__bundleUrl" },
	banner: { js: 'const __bundleUrl = require("node:url").pathToFileURL(__filename).href;' },
	legalComments: "none",
	sourcemap: true,
	logLevel: "warning",
});
chmodSync("dist/vsyscall.cjs", 0o755);

// The manual page comes from the program that prints --help.
writeFileSync("dist/vsyscall.1", execFileSync(process.execPath, ["dist/vsyscall.cjs", "man"]));
