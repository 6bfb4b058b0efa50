// One file for the command line: eighty small modules would cost more start-up time than the program itself (Node 20 reads
// and links each of them). koffi and iced-x86 stay outside: native code, and 0.9 MB that a run never loads.
import { chmodSync } from "node:fs";
import { build } from "esbuild";

await build({
	entryPoints: ["dist/src/cli/main.js"],
	outfile: "dist/vsyscall.js",
	bundle: true,
	platform: "node",
	target: "node20",
	format: "esm",
	external: ["koffi", "iced-x86"],
	// commander is CommonJS and asks for Node's modules by require.
	banner: {
		js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
	},
	legalComments: "none",
	sourcemap: true,
	logLevel: "warning",
});
chmodSync("dist/vsyscall.js", 0o755);
