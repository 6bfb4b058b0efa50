/** `npm run picture`: takes docs/bench.png, the picture of the README, from a run of `vsyscall bench` in a browser. Needs chromium. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { photograph } from "../test/helpers/browser.ts";
import { CLI, output, ROOT } from "./tools.ts";

/** The head of the page and the costs of its first group. */
const SIZE = { width: 880, height: 600 } as const;

const directory = mkdtempSync(join(tmpdir(), "vsyscall-picture-"));
const page = join(directory, "bench.html");
try {
	process.stdout.write(output([process.execPath, CLI, "bench", "--rounds", "200", "--html", page]));
	photograph(page, `${ROOT}docs/bench.png`, SIZE);
} finally {
	rmSync(directory, { recursive: true, force: true });
}
