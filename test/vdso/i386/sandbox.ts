/**
 * A 32-bit image in a 32-bit process (test/fixtures/i386-image.c), between a vvar page that the test writes and the kernel's own vDSO or
 * a fake one. A test is a script of commands; the process runs it to its end.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { WallClock } from "../../../src/clock/clock.ts";
import { STB_GLOBAL } from "../../../src/elf/constants.ts";
import { readElf } from "../../../src/elf/reader.ts";
import { movedClocks } from "../../../src/linux/host-clocks.ts";
import { readHostImage } from "../../../src/linux/host-vdso.ts";
import { hostDataDistance } from "../../../src/linux/maps.ts";
import { homeOffset } from "../../../src/observation/layout.ts";
import { type HostFunction, type HostVdso, OWN_FUNCTIONS_I386 } from "../../../src/vdso/host.ts";
import { buildImage, type Image, type ImageRequest } from "../../../src/vdso/image.ts";
import { LinkPage } from "../../../src/vdso/link-page.ts";
import { PAGE_SIZE } from "../../../src/vvar/layout.ts";
import { VvarPage } from "../../../src/vvar/page.ts";
import { build } from "../../helpers/fixtures.ts";

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

const program = (): string => build("glibc-32-static", "i386-image.c");

const inTemporary = <Result>(use: (directory: string) => Result): Result => {
	const directory = mkdtempSync(join(tmpdir(), "vsyscall-i386-"));
	try {
		return use(directory);
	} finally {
		rmSync(directory, { recursive: true });
	}
};

export interface Host32 {
	readonly vdso: HostVdso;
	/** The kernel's 32-bit image. */
	readonly bytes: Uint8Array;
}

let known: Host32 | undefined;

/** The running kernel's 32-bit vDSO, as a process of ours has it. */
export const host32 = (): Host32 => {
	known ??= inTemporary((directory) => {
		const path = join(directory, "vdso");
		const { stdout } = spawnSync(program(), ["describe", path], { encoding: "utf8" });
		const distance = Number(stdout.split(" ")[0]);
		const bytes = readFileSync(path);
		const functions = readElf(bytes).symbols.flatMap(({ name, value, version, binding, type }): HostFunction[] =>
			binding === STB_GLOBAL && type === 2 && version !== undefined
				? [{ name, binding: "global", version, offset: Number(value) }]
				: [],
		);
		const own = readHostImage().vdso;
		const clocks = movedClocks(own, distance - (hostDataDistance(process.pid) ?? 0));
		return { bytes, vdso: { bits: 32, functions, ...clocks, hasRdpid: own.hasRdpid } };
	});
	return known;
};

/** The fake host's functions, in the order of FAKES in the fixture: their offsets are their numbers. */
const FAKE_FUNCTIONS = [...OWN_FUNCTIONS_I386, "clock_getres"];

/** What the image knows of the fake host's data page. */
export type KnownLayout = "fine" | "coarse" | "none";

const BASES = 40;
export const fakeHost = (layout: KnownLayout): HostVdso => ({
	bits: 32,
	functions: FAKE_FUNCTIONS.map((name, offset) => ({
		name: `__vdso_${name}`,
		binding: "global",
		version: "LINUX_2.6",
		offset,
	})),
	coarse:
		layout === "none"
			? undefined
			: { sequence: 0, realtime: BASES + 5 * 16, monotonic: BASES + 6 * 16, realtimeSeconds: BASES },
	fine:
		layout === "fine"
			? { sequence: 0, cycleLast: 8, maxCycles: 16, multiplier: 32, shift: 36, knownShift: 24, bases: BASES }
			: undefined,
	hasRdpid: false,
});

/** Those of the vvar page that readers look at: as many as an event of the fixture holds. */
export const PAGE_BYTES = 384;

/** Bytes of the vvar page as `clock` has been pushed, on a page that was pushed to before. */
export const pageOf = (clock: WallClock, taiSeconds: bigint, before: readonly WallClock[] = []): Uint8Array => {
	const bytes = new Uint8Array(PAGE_SIZE);
	const page = new VvarPage(bytes, taiSeconds);
	for (const pushed of [...before, clock]) page.push(pushed);
	return bytes.subarray(0, PAGE_BYTES);
};

export const pageCommand = (bytes: Uint8Array): string => `page 0 ${hex(bytes)}`;

/** Seconds and nanoseconds, 64 bits each. */
export const timeBytes = (seconds: bigint, nanoseconds: bigint): Uint8Array => {
	const words = new BigInt64Array([seconds, nanoseconds]);
	return new Uint8Array(words.buffer);
};

/** Sets a clock of the fake host: what its functions say and what stands in its page, whose counter is made to stand. */
export const fakeClock = (id: number, seconds: bigint, nanoseconds: bigint): readonly string[] => {
	const isCoarse = id === 5 || id === 6;
	const base = timeBytes(seconds, isCoarse ? nanoseconds : nanoseconds << 8n);
	return [
		`host ${1024 + 16 * id} ${hex(timeBytes(seconds, nanoseconds))}`,
		`host ${BASES + 16 * id} ${hex(base)}`,
		...(id === 5 ? [`host ${BASES} ${hex(timeBytes(seconds, 0n).subarray(0, 8))}`] : []),
	];
};

/** Sequence and clock mode of the fake host, and a counter that stands. */
export const fakeCounter = (sequence = 2, mode = 1): readonly string[] => [
	`host 0 ${hex(new Uint8Array(new Uint32Array([sequence, mode]).buffer))}`,
	`host 16 ffffffffffffff7f`,
	`host 32 0000000008000000`,
	"tick",
];

export interface CallResult {
	/** Signed. */
	readonly eax: number;
	/** What stands at $0 and $1; 0xaa where nothing was stored. */
	readonly stored: readonly [Buffer, Buffer];
	/** Registers that a function has not kept, in all calls together. */
	readonly changed: number;
	/** Calls of the fake host, in all. */
	readonly hostCalls: number;
}

const parseResult = (line: string): CallResult => {
	const [eax, first = "", second = "", changed, hostCalls] = line.split(" ");
	return {
		eax: Number(eax),
		stored: [Buffer.from(first, "hex"), Buffer.from(second, "hex")],
		changed: Number(changed),
		hostCalls: Number(hostCalls),
	};
};

export class Sandbox32 {
	readonly image: Image;
	readonly #host: "host" | "fake";
	readonly #links: string;
	readonly #symbols: ReadonlyMap<string, bigint>;

	constructor(host: HostVdso, kind: "host" | "fake", request: Partial<ImageRequest> = {}) {
		this.image = buildImage(host, { hasEntryPage: false, copy: "none", ...request });
		this.#host = kind;
		this.#symbols = new Map(readElf(this.image.bytes).symbols.map(({ name, value }) => [name, value]));
		this.#links = [...new LinkPage(host).words]
			.map(({ target, label }) => {
				if (kind === "fake" && label.name === "link:host clocks") return "d";
				if (target.kind !== "host") throw new Error(`the host has no ${label.name}`);
				return `h${target.offset.toString(16)}`;
			})
			.join(",");
	}

	/** The offset of a function, as commands have it. */
	offset(name: string): string {
		const value = this.#symbols.get(name);
		if (value === undefined) throw new Error(`no symbol ${name}`);
		return value.toString(16);
	}

	/** Size of the mapping, and where it has the address of which slot: of an image that counts or traces. */
	get #observation(): readonly string[] {
		const { observation, mappingLength } = this.image;
		if (observation === undefined) return [];
		return [mappingLength, observation.homePage, observation.file + homeOffset(0)].map(String);
	}

	/** Runs a script. @returns the lines that it prints */
	run(commands: readonly string[]): readonly string[] {
		return inTemporary((directory) => {
			const path = join(directory, "image");
			writeFileSync(path, this.image.bytes);
			const args = ["run", path, this.#host, this.#links, ...this.#observation];
			const { stdout, status, signal, stderr } = spawnSync(program(), args, {
				encoding: "utf8",
				input: `${commands.join("\n")}\n`,
				maxBuffer: 1 << 26,
				timeout: 300_000,
			});
			if (status !== 0) throw new Error(`status ${status}, signal ${signal}: ${stderr}${stdout.slice(-300)}`);
			return stdout.trimEnd().split("\n");
		});
	}

	/** Runs a script of `call` and `steps` alone that print results. */
	results(commands: readonly string[]): readonly CallResult[] {
		return this.run(commands)
			.filter((line) => line !== "end")
			.map(parseResult);
	}
}
