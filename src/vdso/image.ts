/**
 * Our vDSO: functions -> machine code -> a shared object that is mapped as it stands.
 *
 *     image (r-x, whole pages) | link page (r--, private) | vvar page (r--, shared)
 *
 * The three stand side by side in every process, so the code reaches both pages rip-relative. In the file the vvar page follows
 * the image at once; the link page has no bytes there.
 */
import { Assembler } from "../asm/assembler.ts";
import { Label } from "../asm/operands.ts";
import { eax, edx } from "../asm/registers.ts";
import { EM_X86_64, NT_LINUX_VERSION } from "../elf/constants.ts";
import type { ExportedFunction } from "../elf/dynamic-symbols.ts";
import { writeSharedObject } from "../elf/shared-object.ts";
import { SYSCALL_KEY } from "../syscalls/key.ts";
import { VsyscallError } from "../errors.ts";
import { CALL, type Call, describeCalls, forwardedCall } from "../observation/calls.ts";
import type { VsyscallNumber } from "../vsyscall/page.ts";
import { PAGE_SIZE } from "../vvar/layout.ts";
import { stopOffsets, stopPlaces } from "./bootstrap.ts";
import { emitClockGettime } from "./clock-gettime.ts";
import { emitForward } from "./forward.ts";
import { emitGetcpu } from "./getcpu.ts";
import { emitGettimeofday } from "./gettimeofday.ts";
import * as vdso from "./host.ts";
import { emitInstaller } from "./installer.ts";
import { emitInternalFunctions, internalFunctions } from "./internal.ts";
import { LinkPage } from "./link-page.ts";
import { emitObserverFunctions, emitTraced, isTracedWhole } from "./observer/hooks.ts";
import {
	observationLabels,
	type ObservationPlaces,
	type ObservationRequest,
	observe,
	placeObservation,
} from "./observer/places.ts";
import { emitPageSupport, type PageSupport } from "./page-support.ts";
import type { Reads } from "./reads.ts";
import { emitTime } from "./time.ts";
import type { Emission } from "./wall.ts";

export interface Image {
	/** A whole number of pages. */
	readonly bytes: Uint8Array;
	/** Where stage 2 of the install begins and ends in the image, and the instructions at which it stops. */
	readonly installerOffset: number;
	readonly installerEnd: number;
	readonly installerStops: readonly number[];
	/** The first word of the build-id, by which stage 1 knows the file. */
	readonly nonce: { readonly offset: number; readonly word: number };
	/** Bytes of address space: image, link page, vvar page. */
	readonly mappingLength: number;
	/** Offset of the vvar page in the file. */
	readonly pageFileOffset: number;
	/** What the file has behind the vvar page: whole pages. */
	readonly furtherPages: readonly Uint8Array[];
	/** Offset of a `syscall` instruction. */
	readonly syscallOffset: number;
	/** Offset of the word that holds the address of the entry page, from the start of the image. */
	readonly entryPageWord: number | undefined;
	/** Offset of the copy of the vsyscall page in memory, from the start of the image. */
	readonly pageCopy: number | undefined;
	/** The stores of the entries through a pointer of the program's, by the offset of the instruction. */
	readonly entryStores: ReadonlyMap<number, VsyscallNumber>;
	/** In an image that counts or traces: offsets of its further pages in memory, and what its calls are, by number. */
	readonly observation: (ObservationPlaces & { readonly calls: readonly Call[] }) | undefined;
}

const VERSION = "LINUX_2.6";
const SONAME = "linux-vdso.so.1";
/** Functions start on a cache line's half, as the kernel's compiler aligns them. */
const FUNCTION_ALIGNMENT = 32;
/** The rest is called rarely, and two pages hold it all. */
const INTERNAL_ALIGNMENT = 16;

/** LINUX_VERSION_CODE of the first kernel with all five functions in its vDSO, 5.3: what the note promises. */
const LINUX_VERSION_CODE = (5 << 16) | (3 << 8);

const emitOwn = (emission: Emission, name: vdso.OwnFunction): void => {
	switch (name) {
		case "clock_gettime":
			return emitClockGettime(emission);
		case "gettimeofday":
			return emitGettimeofday(emission);
		case "time":
			return emitTime(emission);
		case "getcpu":
			return emitGetcpu(emission);
		case "clock_getres":
			return emitForward(emission, emission.links.own("clock_getres"), {
				counter: { base: CALL.clock_getres },
			});
	}
};

/** System calls of the stubs that read a clock: what they return is transformed by the image, or not moved by the wall. */
const KEYED_SYSCALLS: ReadonlySet<number> = new Set([vdso.SYSCALLS.clock_gettime, vdso.SYSCALLS.gettimeofday]);

interface Block {
	readonly name: string;
	readonly start: Label;
	readonly end: Label;
	readonly exports: readonly Omit<ExportedFunction, "start" | "size">[];
}

/** namesz 4, descsz 20, type NT_GNU_BUILD_ID, "GNU". */
const BUILD_ID_NOTE = [4, 0, 0, 0, 20, 0, 0, 0, 3, 0, 0, 0, 0x47, 0x4e, 0x55, 0];

const buildIdWord = (image: Uint8Array): Image["nonce"] => {
	const note = image.findIndex((_, start) => BUILD_ID_NOTE.every((byte, index) => image[start + index] === byte));
	const offset = note + BUILD_ID_NOTE.length;
	return { offset, word: new DataView(image.buffer, image.byteOffset).getInt32(offset, true) };
};

/** What a run wants of its image beyond the clock. */
export interface ImageRequest extends PageSupport {
	/** @default "exact" */
	readonly reads?: Reads;
	/** Calls are counted or traced. @default undefined: neither */
	readonly observation?: ObservationRequest | undefined;
}

/**
 * Generates the image for a host.
 *
 * @throws {VsyscallError} ERR_VSYSCALL_IMAGE when the host has more functions than the link page has words.
 */
export const buildImage = (
	host: vdso.HostVdso,
	request: ImageRequest = { hasEntryPage: false, copy: "none" },
): Image => {
	const assembler = new Assembler(64);
	const links = new LinkPage(host, request.hasEntryPage);
	if ([...links.words].length * 8 > PAGE_SIZE) {
		throw new VsyscallError(
			"ERR_VSYSCALL_IMAGE",
			`the host's vDSO exports ${host.functions.length} functions, more than the link page holds`,
		);
	}
	const { reads = "exact" } = request;
	const observed = request.observation && observe(assembler, request.observation, host.hasRdpid);
	const emission: Emission = {
		assembler,
		page: new Label("vvar page"),
		links,
		host,
		internal: internalFunctions(),
		reads,
		observed,
	};
	const blocks: Block[] = [];
	const block = (name: string, exports: Block["exports"], emit: () => void): Block => {
		assembler.align(exports.length > 0 ? FUNCTION_ALIGNMENT : INTERNAL_ALIGNMENT);
		const made = { name, start: new Label(name), end: new Label(`end of ${name}`), exports };
		assembler.bind(made.start);
		emit();
		assembler.bind(made.end);
		blocks.push(made);
		return made;
	};

	/** A function, or, where it is traced, one that calls it and has its names. */
	const exported = (
		name: string,
		{ exports, call }: { readonly exports: Block["exports"]; readonly call: number },
		emit: () => void,
	): void => {
		const isTraced = isTracedWhole(emission, name);
		const { start } = block(name, isTraced ? [] : exports, emit);
		if (isTraced) block(`traced ${name}`, exports, () => emitTraced(emission, name, { call, body: start }));
	};

	for (const name of vdso.OWN_FUNCTIONS) {
		const exports = [
			{ name: `__vdso_${name}`, binding: "global", version: VERSION },
			{ name, binding: "weak", version: VERSION },
		] as const;
		exported(name, { exports, call: CALL[name] }, () => emitOwn(emission, name));
	}
	const forwarded: vdso.HostFunction[] = [];
	for (const offset of new Set(links.forwarded.map((entry) => entry.offset))) {
		const aliases = links.forwarded.filter((entry) => entry.offset === offset);
		const [first] = aliases;
		if (first === undefined) continue;
		const call = forwardedCall(forwarded.length);
		forwarded.push(first);
		const name = first.name.replace(/^__vdso_/, "");
		exported(name, { exports: aliases, call }, () =>
			emitForward(emission, links.forward(first), {
				counter: { call },
				name: isTracedWhole(emission, name) ? undefined : name,
			}),
		);
	}
	const syscallStubs = new Map<number, Label>();
	for (const { target } of links.words) {
		if (target.kind !== "syscall") continue;
		const stub = block(`syscall ${target.number}`, [], () => {
			if (KEYED_SYSCALLS.has(target.number)) assembler.mov(edx, SYSCALL_KEY);
			assembler.mov(eax, target.number);
			assembler.syscall();
			assembler.ret();
		});
		syscallStubs.set(target.number, stub.start);
	}
	const internal = (start: Label, emit: () => void): Block =>
		block(start.name, [], () => {
			assembler.bind(start);
			emit();
		});
	emitInternalFunctions(emission, internal);
	emitObserverFunctions(emission, internal);
	const support = emitPageSupport(emission, request, (name, emit) => block(name, [], emit).start);
	const labels = {
		syscall: new Label("a syscall instruction"),
		entries: support.entries,
		copy: support.copy,
		linkPage: new Label("link page"),
		pageFileOffset: new Label("vvar page in the file"),
		stops: stopPlaces(assembler),
		syscallStubs,
	};
	const installer = block("installer", [], () => emitInstaller(emission, labels));
	const code = assembler.assemble();

	let textOffset = 0;
	const pagesBehind = (support.copy === undefined ? 2 : 3) * PAGE_SIZE;
	const versions = [...new Set([VERSION, ...links.forwarded.map((entry) => entry.version)])];
	const version = new Uint8Array(4);
	new DataView(version.buffer).setUint32(0, LINUX_VERSION_CODE, true);
	const bytes = writeSharedObject({
		bits: 64,
		machine: EM_X86_64,
		soname: SONAME,
		versions,
		functions: blocks.flatMap(({ start, end, exports }) =>
			exports.map((entry) => ({
				name: entry.name,
				binding: entry.binding,
				version: entry.version,
				start: code.offsetOf(start),
				size: code.offsetOf(end) - code.offsetOf(start),
			})),
		),
		notes: [{ name: "Linux", type: NT_LINUX_VERSION, description: version }],
		textSize: code.bytes.length,
		frames: blocks.map(({ start, end }) => {
			const [first, last] = [code.offsetOf(start), code.offsetOf(end)];
			const rules = code.frameNotes
				// A rule of the stack at the very start is what the last function left behind its end.
				.filter(({ offset, kind }) => offset < last && (offset > first || (offset === first && kind !== "cfa-offset")))
				.map((note) => ({ ...note, offset: note.offset - first }));
			return { start: first, length: last - first, rules };
		}),
		text: ({ offset, imageSize }) => {
			textOffset = offset;
			const places = new Map<Label, number>([
				[labels.linkPage, imageSize],
				[labels.pageFileOffset, imageSize],
				[emission.page, imageSize + PAGE_SIZE],
			]);
			for (const word of links.words) places.set(word.label, imageSize + word.offset);
			for (const [label, place] of support.places(imageSize)) places.set(label, place);
			for (const [label, place] of observationLabels(observed, imageSize + pagesBehind)) places.set(label, place);
			return code.link((label) => {
				const place = places.get(label);
				if (place === undefined) throw new VsyscallError("ERR_VSYSCALL_IMAGE", `nothing is at ${label.name}`);
				return place - offset;
			});
		},
	});
	const observationPlaces = placeObservation(observed, bytes.length + pagesBehind);
	return {
		bytes,
		installerOffset: textOffset + code.offsetOf(installer.start),
		installerEnd: textOffset + code.offsetOf(installer.end),
		installerStops: stopOffsets(code, labels.stops).map((offset) => textOffset + offset),
		nonce: buildIdWord(bytes),
		mappingLength: observationPlaces.end,
		pageFileOffset: bytes.length,
		furtherPages: support.pages,
		syscallOffset: textOffset + code.offsetOf(labels.syscall),
		entryPageWord: links.entryPage === undefined ? undefined : bytes.length + links.entryPage.offset,
		pageCopy: support.copy === undefined ? undefined : bytes.length + 2 * PAGE_SIZE,
		entryStores: new Map(
			support.stores.map(({ label, number }) => [textOffset + code.offsetOf(label), number] as const),
		),
		observation: observed && { ...observationPlaces, calls: describeCalls(forwarded) },
	};
};
