/** Pages in a real browser: Debian's chromium, without a window. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

export const BROWSER = "chromium";

const TIMEOUT_MS = 120_000;

export interface Look {
	/** The document behind all scripts, as HTML. */
	readonly document: string;
	/** What the page has said on its console, errors of scripts and of loading included. */
	readonly console: readonly string[];
}

const browse = (file: string, flags: readonly string[]): { readonly stdout: string; readonly stderr: string } => {
	const profile = mkdtempSync(join(tmpdir(), "vsyscall-browser-"));
	try {
		const { stdout, stderr, status } = spawnSync(
			BROWSER,
			[
				"--headless",
				"--no-sandbox",
				"--disable-gpu",
				"--disable-dev-shm-usage",
				"--hide-scrollbars",
				"--enable-logging=stderr",
				`--user-data-dir=${profile}`,
				...flags,
				pathToFileURL(file).href,
			],
			{ encoding: "utf8", timeout: TIMEOUT_MS, maxBuffer: 1 << 26 },
		);
		if (status !== 0) throw new Error(`${BROWSER} failed (${String(status)}): ${stderr.slice(-2000)}`);
		return { stdout, stderr };
	} finally {
		rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
	}
};

/** Loads a page and lets its scripts run. @param width of the window in CSS pixels */
export const look = (file: string, width: number): Look => {
	const { stdout, stderr } = browse(file, [`--window-size=${width},900`, "--dump-dom"]);
	const lines = stderr.split("\n").filter((line) => line.includes(":CONSOLE"));
	return { document: stdout, console: lines };
};

export interface Picture {
	readonly width: number;
	readonly height: number;
	readonly isDark?: boolean;
}

/** Takes a picture of a page from its top, as PNG. */
export const photograph = (file: string, picture: string, { width, height, isDark = false }: Picture): void => {
	const dark = isDark ? ["--blink-settings=preferredColorScheme=0"] : [];
	browse(file, [`--window-size=${width},${height}`, `--screenshot=${picture}`, ...dark]);
};
