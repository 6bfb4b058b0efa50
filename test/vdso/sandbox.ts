/**
 * An image that is mapped and called in the test process, between a host of our choice and a vvar page that the test pushes to.
 *
 *     data of the fake host (rw) | code of the fake host (r-x) | image (r-x) | link page (r--) | vvar page (rw)
 *
 * The fake host is machine code too. Its clocks return what stands in its data page; it notes how it was called, and leaves
 * rubbish in every register that a callee may change.
 */
import { Assembler } from "../../src/asm/assembler.ts";
import { indexed, type Label, memory, ripRelative } from "../../src/asm/operands.ts";
import { eax, edi, r8, r9, r10, r11, rax, rcx, rdi, rdx, rsi, rsp } from "../../src/asm/registers.ts";
import { readElf } from "../../src/elf/reader.ts";
import { viewMemory } from "../../src/linux/ffi.ts";
import { type HostVdso, OWN_FUNCTIONS, type OwnFunction } from "../../src/vdso/host.ts";
import type { Reads } from "../../src/vdso/reads.ts";
import { buildImage, type Image } from "../../src/vdso/image.ts";
import { LinkPage } from "../../src/vdso/link-page.ts";
import { PAGE_SIZE } from "../../src/vvar/layout.ts";
import { VvarPage } from "../../src/vvar/page.ts";
import { codeBlocks } from "./decoded.ts";
import { callable, type MachineFunction, makeExecutable, makeReadOnly, mapMemory } from "./machine.ts";

/** Words of the fake host's data page, by index. */
const WORDS = {
	/** Two words (seconds, nanoseconds) per clock id, ids 0 to 31. */
	clocks: 0,
	/** What every function of the fake host returns. */
	result: 64,
	/** Not 0: the function returns without storing a time. */
	isSilent: 65,
	/** Counts of calls, and of those with a stack that is not aligned. */
	calls: 66,
	misaligned: 67,
	/** The number of the function that was called last (index in OWN_FUNCTIONS), and the arguments that it was given. */
	lastFunction: 68,
	lastArguments: 69,
	/** tz_minuteswest and tz_dsttime, as one word. */
	timezone: 72,
	/** The layout of Linux 6.18's page, as far as the image reads it. */
	sequence: 128,
	cycleLast: 129,
	maxCycles: 130,
	/** The multiplier and, in the upper half, the shift. */
	multiplier: 132,
	bases: 133,
	/** Room for what functions store. */
	output: 256,
} as const;

const CODE_OFFSETS: Readonly<Record<OwnFunction, number>> = {
	clock_gettime: 0x000,
	gettimeofday: 0x100,
	time: 0x200,
	getcpu: 0x300,
	clock_getres: 0x400,
};

const assembleHost = (): Uint8Array => {
	const assembler = new Assembler(64);
	const data = assembler.label("data");
	const word = (index: number, displacement = 0) => ripRelative(data, index * 8 + displacement);
	const note = (index: number): void => {
		const aligned = assembler.label("aligned");
		assembler.add(word(WORDS.calls), 1, 64);
		assembler.mov(word(WORDS.lastFunction), index, 64);
		assembler.mov(word(WORDS.lastArguments), rdi);
		assembler.mov(word(WORDS.lastArguments + 1), rsi);
		assembler.mov(word(WORDS.lastArguments + 2), rdx);
		assembler.lea(rax, memory(rsp, 8));
		assembler.test(eax, 15);
		assembler.jcc("z", aligned);
		assembler.add(word(WORDS.misaligned), 1, 64);
		assembler.bind(aligned);
	};
	const leave = (done: Label): void => {
		assembler.bind(done);
		for (const register of [rcx, rdx, rsi, rdi, r8, r9, r10, r11]) assembler.mov(register, 0xdead_beef_0bad_f00dn);
		// The upper half of rax is no part of an int.
		assembler.mov(eax, word(WORDS.result));
		assembler.mov(rcx, 0x5555_5555_0000_0000n);
		assembler.or(rax, rcx);
		assembler.ret();
	};
	for (const [index, name] of OWN_FUNCTIONS.entries()) {
		assembler.align(0x100);
		const done = assembler.label("done");
		note(index);
		assembler.cmp(word(WORDS.isSilent), 0, 64);
		assembler.jcc("nz", done);
		if (name === "clock_gettime") {
			assembler.mov(eax, edi);
			assembler.and(eax, 31);
			assembler.shl(eax, 4);
			assembler.lea(rcx, word(WORDS.clocks));
			assembler.mov(rdx, indexed({ base: rcx, index: rax }));
			assembler.mov(memory(rsi), rdx);
			assembler.mov(rdx, indexed({ base: rcx, index: rax, displacement: 8 }));
			assembler.mov(memory(rsi, 8), rdx);
		} else if (name === "gettimeofday") {
			assembler.test(rsi, rsi);
			assembler.jcc("z", done);
			assembler.mov(rax, word(WORDS.timezone));
			assembler.mov(memory(rsi), rax);
		}
		leave(done);
	}
	return assembler.assemble().link(() => -PAGE_SIZE);
};

/** A word of the data page, from the start of the fake host's code. */
const place = (index: number): number => index * 8 - PAGE_SIZE;

/** How much of the fake host's data page the image knows. */
export type KnownLayout = "fine" | "fine without max_cycles" | "coarse" | "none";

/** The shifts that code for the fake host is generated for. */
export const KNOWN_SHIFTS = { fine: 24, "fine without max_cycles": 23 } as const;
const hasFine = (layout: KnownLayout): layout is keyof typeof KNOWN_SHIFTS => layout in KNOWN_SHIFTS;

/** What the fake host has. */
export const fakeHost = (layout: KnownLayout): HostVdso => ({
	bits: 64,
	functions: OWN_FUNCTIONS.flatMap((name) => [
		{ name: `__vdso_${name}`, binding: "global", version: "LINUX_2.6", offset: CODE_OFFSETS[name] } as const,
		{ name, binding: "weak", version: "LINUX_2.6", offset: CODE_OFFSETS[name] } as const,
	]),
	coarse:
		layout === "none"
			? undefined
			: {
					sequence: place(WORDS.sequence),
					realtime: place(WORDS.bases + 10),
					monotonic: place(WORDS.bases + 12),
					realtimeSeconds: place(WORDS.bases),
				},
	fine: hasFine(layout)
		? {
				sequence: place(WORDS.sequence),
				cycleLast: place(WORDS.cycleLast),
				maxCycles: layout === "fine" ? place(WORDS.maxCycles) : undefined,
				multiplier: place(WORDS.multiplier),
				shift: place(WORDS.multiplier) + 4,
				knownShift: KNOWN_SHIFTS[layout],
				bases: place(WORDS.bases),
			}
		: undefined,
	hasRdpid: false,
});

/** Puts an image between link page and vvar page. @param hostAddress of the image that the offsets of `host` count from */
const mapImage = (image: Image, host: HostVdso, address: bigint, hostAddress: bigint): void => {
	const memoryBytes = viewMemory(address, image.mappingLength);
	memoryBytes.set(image.bytes);
	const links = new BigUint64Array(memoryBytes.buffer, image.bytes.length, PAGE_SIZE / 8);
	for (const { target, offset } of new LinkPage(host, true).words)
		if (target.kind === "host") links[offset / 8] = hostAddress + BigInt(target.offset);
	makeExecutable(address, image.bytes.length);
	makeReadOnly(address + BigInt(image.bytes.length), PAGE_SIZE);
};

export interface Sandbox {
	readonly image: Image;
	/** Of the image. */
	readonly address: bigint;
	/** Addresses of the exported functions, by name. */
	readonly functions: ReadonlyMap<string, bigint>;
	/** Calls an exported function, or an entry of the vsyscall page: "entry gettimeofday", "entry time". */
	readonly call: (name: string, ...args: readonly (number | bigint)[]) => bigint;
	readonly page: VvarPage;
	/** The bytes that `page` writes to. */
	readonly pageBytes: Uint8Array;
	/** 128 words that functions may store to. */
	readonly output: BigInt64Array;
	readonly outputAddress: bigint;
}

const ENTRY_NAMES = ["entry gettimeofday", "entry time", "entry getcpu"];

const makeSandbox = (
	image: Image,
	{ address, data, taiSeconds }: { address: bigint; data: bigint; taiSeconds: bigint },
): Sandbox => {
	const functions = new Map(readElf(image.bytes).symbols.map(({ name, value }) => [name, address + value]));
	// They have no names in the image; they are the last blocks in front of the installer.
	for (const [index, { start }] of codeBlocks(image).slice(-4, -1).entries())
		functions.set(ENTRY_NAMES[index] ?? "", address + BigInt(start));
	const cache = new Map<string, MachineFunction>();
	const pageBytes = viewMemory(address + BigInt(image.bytes.length + PAGE_SIZE), PAGE_SIZE);
	const outputAddress = data + BigInt(WORDS.output * 8);
	return {
		image,
		address,
		functions,
		call: (name, ...args) => {
			let call = cache.get(name);
			if (call === undefined) cache.set(name, (call = callable(functions.get(name) ?? 0n)));
			return call(...args);
		},
		page: new VvarPage(pageBytes, taiSeconds),
		pageBytes,
		output: new BigInt64Array(viewMemory(outputAddress, 1024).buffer),
		outputAddress,
	};
};

/** An image whose link page leads to the running kernel's own functions. */
export const sandboxOnHost = (
	host: HostVdso,
	{ hostAddress, taiSeconds, reads = "exact" }: { hostAddress: bigint; taiSeconds: bigint; reads?: Reads },
): Sandbox => {
	const image = buildImage(host, { hasEntryPage: true, copy: "none", reads });
	const data = mapMemory(PAGE_SIZE + image.mappingLength);
	const address = data + BigInt(PAGE_SIZE);
	mapImage(image, host, address, hostAddress);
	return makeSandbox(image, { address, data, taiSeconds });
};

export interface Time {
	readonly seconds: bigint;
	readonly nanoseconds: bigint;
}

/** Clock modes of the fake host: NONE, TSC, kvm-clock, and that of a time namespace. */
export type ClockMode = 0 | 1 | 2 | 0x7fff_ffff;

/** How the fake host counts. */
export interface Counting {
	readonly cycleLast: bigint;
	readonly maxCycles: bigint;
	readonly multiplier: bigint;
	readonly shift: bigint;
}

const FINE_CLOCKS: ReadonlySet<number> = new Set([0, 1, 7, 11]);
const COARSE_CLOCKS: ReadonlySet<number> = new Set([5, 6]);
/** A clock that stands: its base alone counts. */
const standing = (layout: KnownLayout): Counting => ({
	cycleLast: 0n,
	maxCycles: (1n << 64n) - 1n,
	multiplier: 0n,
	shift: BigInt(hasFine(layout) ? KNOWN_SHIFTS[layout] : 8),
});

/** An image on the fake host. */
export class FakeHostSandbox {
	readonly sandbox: Sandbox;
	readonly layout: KnownLayout;
	readonly #words: BigInt64Array;
	#shift = 0n;

	constructor({
		layout,
		taiSeconds,
		reads = "exact",
	}: {
		readonly layout: KnownLayout;
		readonly taiSeconds: bigint;
		readonly reads?: Reads;
	}) {
		const host = fakeHost(layout);
		const image = buildImage(host, { hasEntryPage: true, copy: "none", reads });
		const data = mapMemory(2 * PAGE_SIZE + image.mappingLength);
		const code = data + BigInt(PAGE_SIZE);
		const address = code + BigInt(PAGE_SIZE);
		this.#words = new BigInt64Array(viewMemory(data, PAGE_SIZE).buffer);
		this.layout = layout;
		viewMemory(code, PAGE_SIZE).set(assembleHost());
		makeExecutable(code, PAGE_SIZE);
		mapImage(image, host, address, code);
		this.sandbox = makeSandbox(image, { address, data, taiSeconds });
		this.count(standing(layout));
		this.setSequence(2);
	}

	/** How the page says that the counter counts; the bases have to be set behind it. */
	count({ cycleLast, maxCycles, multiplier, shift }: Counting): void {
		this.#words[WORDS.cycleLast] = cycleLast;
		this.#words[WORDS.maxCycles] = BigInt.asIntN(64, maxCycles);
		this.#words[WORDS.multiplier] = BigInt.asIntN(64, (shift << 32n) | multiplier);
		this.#shift = shift;
	}

	/** What the fake host's clock_gettime tells for `id`, and what its data page says, where it has the clock. */
	setClock(id: number, { seconds, nanoseconds }: Time): void {
		this.#words.set([seconds, nanoseconds], WORDS.clocks + 2 * id);
		if (FINE_CLOCKS.has(id)) this.setBase(id, { seconds, nanoseconds: nanoseconds << this.#shift });
		if (COARSE_CLOCKS.has(id)) this.#words.set([seconds, nanoseconds], WORDS.bases + 2 * id);
		// time() and REALTIME_COARSE turn together.
		if (id === 5) this.#words[WORDS.bases] = seconds;
	}

	/** The base of a fine clock, in its page alone. @param base nanoseconds already shifted */
	setBase(id: number, { seconds, nanoseconds }: Time): void {
		this.#words.set([seconds, nanoseconds], WORDS.bases + 2 * id);
	}

	/** An odd sequence: the kernel writes, or this is a time namespace. */
	setSequence(sequence: number, mode: ClockMode = 1): void {
		// Atomically: other threads read it.
		Atomics.store(this.#words, WORDS.sequence, (BigInt(mode) << 32n) | BigInt(sequence & 0x7fff_ffff));
	}

	set result(value: number) {
		this.#words[WORDS.result] = BigInt(value);
	}

	set isSilent(value: boolean) {
		this.#words[WORDS.isSilent] = value ? 1n : 0n;
	}

	set timezone(value: bigint) {
		this.#words[WORDS.timezone] = value;
	}

	/** Whether the image reads the clock `id` in the page. */
	reads(id: number): boolean {
		return COARSE_CLOCKS.has(id) ? this.layout !== "none" : FINE_CLOCKS.has(id) && hasFine(this.layout);
	}

	get calls(): number {
		return Number(this.#words[WORDS.calls]);
	}

	get misalignedCalls(): number {
		return Number(this.#words[WORDS.misaligned]);
	}

	/** Name and three arguments of the last call. */
	get lastCall(): readonly [string | undefined, bigint, bigint, bigint] {
		const [first = 0n, second = 0n, third = 0n] = this.#words.subarray(WORDS.lastArguments);
		return [OWN_FUNCTIONS[Number(this.#words[WORDS.lastFunction])], first, second, third];
	}
}
