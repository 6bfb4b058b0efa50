// One file for the command line: eighty small modules would cost more start-up time than the program itself (Node 20 reads
// and links each of them), and CommonJS starts faster than a module. koffi and iced-x86 stay outside: native code, and 0.9 MB
// that a run never loads. The threads of a scan have a file of their own, for the same reason, and so has everything that the command
// line imports only when a verb runs: V8 reads all of a file before it executes the first line.
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { build } from "esbuild";

const settings = {
	bundle: true,
	minifyWhitespace: true,
	minifySyntax: true,
	platform: "node",
	target: "node20",
	format: "cjs",
	external: ["koffi", "iced-x86"],
	outExtension: { ".js": ".cjs" },
	// createRequire(import.meta.url) must go on finding koffi beside the bundle.
	define: { "import.meta.url": "__bundleUrl" },
	banner: { js: 'const __bundleUrl = require("node:url").pathToFileURL(__filename).href;' },
	legalComments: "none",
	sourcemap: true,
	logLevel: "warning",
};

/**
 * What `import()` names in the command line, by the name of its file in dist/verbs. Such a file has copies of the modules that it shares
 * with the rest, so modules below the command line, which have state (koffi's types), keep theirs in one file.
 */
const verbs = {};
const asFilesOfTheirOwn = {
	name: "verbs",
	setup: ({ onResolve }) =>
		onResolve({ filter: /^\./ }, ({ kind, path, importer }) => {
			if (kind !== "dynamic-import" || !importer.includes("/src/cli/")) return undefined;
			const name = basename(path, ".js");
			const file = join(dirname(importer), path);
			if ((verbs[name] ?? file) !== file) throw new Error(`${file} and ${verbs[name]} would be one file of dist/verbs`);
			verbs[name] = file;
			return { path: `./verbs/${name}.cjs`, external: true };
		}),
};

await build({
	...settings,
	entryPoints: { vsyscall: "dist/src/cli/main.js" },
	outdir: "dist",
	plugins: [asFilesOfTheirOwn],
});
await build({ ...settings, entryPoints: { "scan-worker": "dist/src/scan/files/worker.js" }, outdir: "dist" });
mkdirSync("dist/verbs", { recursive: true });
await build({ ...settings, entryPoints: verbs, outdir: "dist/verbs" });
chmodSync("dist/vsyscall.cjs", 0o755);

// The manual page comes from the program that prints --help.
writeFileSync("dist/vsyscall.1", execFileSync(process.execPath, ["dist/vsyscall.cjs", "man"]));
