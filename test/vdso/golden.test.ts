/**
 * The code of every function as text, to be reviewed: test/vdso/golden/*.txt.
 *
 * UPDATE_GOLDEN=1 writes the files anew. The hosts are made up, so they are the same on every machine.
 */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { disassemble } from "../../src/asm/disassembler.ts";
import { assembleBootstrap } from "../../src/vdso/bootstrap.ts";
import type { HostVdso } from "../../src/vdso/host.ts";
import { buildImage, type Image, type ImageRequest } from "../../src/vdso/image.ts";
import { LinkPage } from "../../src/vdso/link-page.ts";
import * as layout from "../../src/vvar/layout.ts";
import { codeBlocks } from "./decoded.ts";
import { FULL_HOST, hostFunction, observed } from "./hosts.ts";

const DIRECTORY = fileURLToPath(new URL("../../../test/vdso/golden/", import.meta.url));
const isUpdate = process.env["UPDATE_GOLDEN"] === "1";
const seen = new Set<string>();

/** Names of everything behind the code: words of the link page, fields of the vvar page. */
const pageSymbols = (host: HostVdso, image: Image): ReadonlyMap<number, string> => {
	const linkPage = image.bytes.length;
	const page = linkPage + layout.PAGE_SIZE;
	const symbols = new Map([...new LinkPage(host).words].map(({ label, offset }) => [linkPage + offset, label.name]));
	// The file has the vvar page where the mapping has the link page.
	symbols.set(linkPage, `${symbols.get(linkPage) ?? ""}|link|vvar in the file`);
	for (const [name, offset] of Object.entries(layout.PAGE)) symbols.set(page + offset, `vvar.${name}`);
	if (host.bits === 32) symbols.set(page + layout.PAGE.wall + 4, "vvar.wall, high");
	symbols.set(page, "vvar");
	const { observation } = image;
	if (observation !== undefined) {
		symbols.set(observation.keyPage, "key");
		if (host.bits === 32) symbols.set(observation.keyPage + 4, "key, high");
		symbols.set(observation.homePage, "home");
	}
	return symbols;
};

/** `[ebx+0x3457]` */
const BASED = /\[(e[a-z]{2})\+(0x[0-9a-f]+)\]/;

/** Names what 32-bit code reaches from the address of an instruction of its own, which `call` and `pop` have put into a register. */
const anchoredText = (symbolOf: (place: number) => string | undefined) => {
	const anchors = new Map<string, number>();
	let last: { readonly text: string; readonly next: number } | undefined;
	return (text: string, place: number, length: number): string => {
		const popped = /^pop (\w+)$/.exec(text)?.[1];
		if (popped !== undefined && last?.text.startsWith("call ") === true && last.next === place)
			anchors.set(popped, place);
		last = { text, next: place + length };
		const [operand, register = "", displacement = ""] = BASED.exec(text) ?? [];
		const symbol = symbolOf((anchors.get(register) ?? Number.NaN) + Number(displacement));
		if (operand === undefined || symbol === undefined) return text;
		// A register is an anchor until it gets what its word holds.
		if (text.startsWith(`mov ${register}, `)) anchors.delete(register);
		return text.replace(operand, `[${register} -> ${symbol}]`);
	};
};

/** One instruction per line: its offset in the function, and its text with symbols; the target of a jump as an offset. */
const listing = (
	code: Uint8Array,
	start: number,
	symbolOf: (place: number) => string | undefined,
	bits: 32 | 64 = 64,
): string => {
	const named = bits === 32 ? anchoredText(symbolOf) : (text: string): string => text;
	const nameOf = (address: bigint): string | undefined => {
		const place = Number(address);
		return place >= start && place < start + code.length ? `+${(place - start).toString(16)}` : symbolOf(place);
	};
	return disassemble(code, bits, BigInt(start), nameOf)
		.map(({ offset, bytes, text }) => {
			const line = named(text, start + offset, bytes.length);
			return `${offset.toString(16).padStart(4)}  ${line}\n`;
		})
		.join("");
};

const assertGolden = (name: string, text: string): void => {
	const file = join(DIRECTORY, `${name}.txt`);
	seen.add(`${name}.txt`);
	if (isUpdate) {
		mkdirSync(DIRECTORY, { recursive: true });
		writeFileSync(file, text);
	}
	assert.ok(existsSync(file), `${file} is missing: run with UPDATE_GOLDEN=1`);
	assert.equal(text, readFileSync(file, "utf8"), `${name} has changed: review, then run with UPDATE_GOLDEN=1`);
};

const HOST_32: HostVdso = {
	...FULL_HOST,
	bits: 32,
	functions: [
		...["__kernel_vsyscall", "__kernel_sigreturn", "__kernel_rt_sigreturn"].map((name, index) =>
			hostFunction(name, 0x600 + 0x10 * index, { version: "LINUX_2.5" }),
		),
		...["clock_gettime", "clock_gettime64", "gettimeofday", "time", "getcpu", "clock_getres"].map((name, index) =>
			hostFunction(`__vdso_${name}`, 0x700 + 0x100 * index),
		),
	],
};

const VARIANTS: readonly (readonly [suffix: string, host: HostVdso, only: RegExp, request?: ImageRequest])[] = [
	["", FULL_HOST, /./],
	[".no-layout", { ...FULL_HOST, coarse: undefined, fine: undefined }, /^(clock_gettime|time|ask-host)$/],
	[".no-rdpid", { ...FULL_HOST, hasRdpid: false }, /^getcpu$/],
	[".i386", HOST_32, /./],
	[".i386.no-layout", { ...HOST_32, coarse: undefined, fine: undefined }, /^(clock_gettime64|time|ask-host)$/],
	[".i386.no-rdpid", { ...HOST_32, hasRdpid: false }, /^getcpu$/],
	[".no-vdso", { bits: 64, functions: [], coarse: undefined, fine: undefined, hasRdpid: false }, /^installer$|^stub/],
	[".counted", FULL_HOST, /^(time|getcpu|clock_getres|take-key|find-slot|sample)$/, observed("count")],
	[".traced", FULL_HOST, /^(time|getcpu|record|sgx_enter_enclave)$/, observed("trace")],
	[
		".i386.counted",
		HOST_32,
		/^(time|getcpu|clock_getres|take-key|find-slot|sample)$/,
		{ ...observed("count"), hasEntryPage: false },
	],
	[
		".i386.traced",
		HOST_32,
		/^(time|clock_gettime64|getcpu|clock_getres|record)$/,
		{ ...observed("trace"), hasEntryPage: false },
	],
];

const INTERNAL: readonly string[] = ["ask-host", "drifting-realtime", "drifting-tai", "drifting-coarse"];
/** What stands behind them in a run that counts or traces; then the entries of the vsyscall page, where there are any. */
const OBSERVER = { count: ["take-key", "find-slot", "sample"], trace: ["take-key", "record"] } as const;
const PAGE_ENTRIES = 3;

for (const [suffix, host, only, request] of VARIANTS) {
	const image = buildImage(host, request);
	const observation = request?.observation?.layout.observation;
	const internalNames = [...INTERNAL, ...(observation === undefined ? [] : OBSERVER[observation])];
	const entries = request?.hasEntryPage === true ? PAGE_ENTRIES : 0;
	const symbols = pageSymbols(host, image);
	const blocks = codeBlocks(image);
	const symbolOf = (place: number): string | undefined =>
		symbols.get(place) ?? blocks.find(({ start }) => start === place)?.name;
	const named = blocks.map((block, index) => {
		const isNamed = block.isExported || block.name === "installer";
		// Internal functions stand right in front of the installer.
		const internal = isNamed ? undefined : internalNames[index - (blocks.length - 1 - entries - internalNames.length)];
		return { ...block, name: internal ?? block.name };
	});
	let stubs = 0;
	for (const block of named.filter(({ name }) => only.test(name))) {
		const name = `${block.name.startsWith("stub") ? `stub-${stubs++}` : block.name}${suffix}`;
		test(`${name} is the code that was reviewed`, () => {
			assertGolden(name, listing(image.bytes.subarray(block.start, block.end), block.start, symbolOf, host.bits));
		});
	}
}

test("stage 1 is the code that was reviewed", () => {
	// Lengths that change with every function of the image.
	const nonce = { offset: 0x123, word: 0x456789 };
	const bootstrap = assembleBootstrap({ bits: 64, installerOffset: 0xabc, mappingLength: 0x5000, nonce });
	assertGolden(
		"bootstrap",
		listing(bootstrap.code, 0, () => undefined),
	);
});

after(() => {
	const stale = readdirSync(DIRECTORY).filter((file) => !seen.has(file));
	assert.deepEqual(stale, [], "golden files of no function");
});
