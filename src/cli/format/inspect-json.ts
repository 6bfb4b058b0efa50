/** A report of `vsyscall inspect` as JSON: docs/inspect.schema.json says what it is. Addresses are hexadecimal strings. */
import { formatWallClock } from "../../clock/format-clock.ts";
import { isoInstant } from "../../clock/iso.ts";
import { hex } from "../../elf/elf-error.ts";
import { fileType, segmentFlags, segmentType, symbolBinding, symbolType } from "../../elf/names.ts";
import type { Mapping } from "../../inspect/address-space.ts";
import type { Auxv } from "../../inspect/auxv.ts";
import type { DisassembledFunction } from "../../inspect/disassembly.ts";
import type { ImageReport, SymbolReport } from "../../inspect/image-report.ts";
import { type ImageFound, isImage, type Layer } from "../../inspect/layer.ts";
import { placeText } from "../../inspect/places.ts";
import type { Report } from "../../inspect/report.ts";

const orNull = <Value, Json>(value: Value | undefined, toJson: (value: Value) => Json): Json | null =>
	value === undefined ? null : toJson(value);

const range = ({ start, end }: Mapping): object => ({ start: hex(start), end: hex(end) });

const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

const symbolJson = ({ names, auxv }: Layer, mappings: readonly Mapping[], symbol: SymbolReport): object => ({
	name: symbol.name,
	version: symbol.version ?? null,
	type: symbolType(symbol.type),
	binding: symbolBinding(symbol.binding),
	section: symbol.sectionIndex,
	value: hex(symbol.value),
	size: Number(symbol.size),
	leadsTo: orNull(symbol.leadsTo, (address) => ({
		address: hex(address),
		name: auxv === undefined ? null : (placeText(names, mappings, address) ?? null),
	})),
});

const imageJson = (image: ImageReport, layer: Layer, mappings: readonly Mapping[]): object => {
	const { elf, verdict } = image;
	return {
		address: hex(image.address),
		size: image.bytes.length,
		abi: image.abi,
		class: elf.bits,
		type: fileType(elf.header.type),
		machine: elf.header.machine,
		osAbi: elf.header.osAbi,
		flags: elf.header.flags,
		entry: hex(elf.header.entry),
		soname: elf.soname ?? null,
		buildId: image.buildId ?? null,
		verdict: orNull(verdict, ({ profile, rules, violations }) => ({ profile, rules, violations })),
		sections: elf.sectionTable,
		segments: elf.programHeaders.map(({ type, flags, ...header }) => ({
			type: segmentType(type),
			flags: segmentFlags(flags),
			offset: hex(header.offset),
			address: hex(header.virtualAddress),
			fileSize: Number(header.fileSize),
			memorySize: Number(header.memorySize),
			alignment: Number(header.alignment),
		})),
		notes: image.notes.map(({ name, type, description, meaning }) => ({
			name,
			type,
			description: toHex(description),
			meaning,
		})),
		versions: elf.versionDefinitions.map(({ index, name, flags, parents }) => ({ index, name, flags, parents })),
		symbols: image.symbols.map((symbol) => symbolJson(layer, mappings, symbol)),
	};
};

const foundJson = (found: ImageFound, layer: Layer, mappings: readonly Mapping[]): object =>
	isImage(found) ? imageJson(found, layer, mappings) : { address: hex(found.address), fault: found.fault };

const entriesJson = ({ entries }: Auxv): readonly object[] =>
	entries.map(({ type, name, value }) => ({ type, name, value: hex(value) }));

const auxvJson = ({ auxv, stackAuxv }: Layer): object | null =>
	orNull(auxv, (saved) => ({
		bits: saved.bits,
		kernel: entriesJson(saved),
		stack: orNull(stackAuxv, (stack) => ({ address: hex(stack.address), entries: entriesJson(stack) })),
	}));

const clockJson = ({ layer: { ownClock }, clockTime }: Report): object | null =>
	orNull(ownClock, ({ address, name, clock, entryPage }) => ({
		name: name ?? null,
		page: hex(address),
		entryPage: orNull(entryPage, hex),
		...("fault" in clock
			? { fault: clock.fault }
			: { kind: clock.kind, spec: formatWallClock(clock), time: orNull(clockTime, isoInstant) }),
	}));

const vvarJson = ({ vvar }: Report): object | null => {
	if (vvar === undefined) return null;
	if (vvar === "unknown") return { layout: null };
	const { cycleLast, maxCycles, cyclesPerSecond, age, ...rest } = vvar;
	return {
		...rest,
		cycleLast: cycleLast.toString(),
		maxCycles: orNull(maxCycles, String),
		cyclesPerSecond: cyclesPerSecond.toString(),
		ageNanoseconds: age.toString(),
	};
};

const targetJson = ({ target }: Report): object => {
	if (target.kind === "process") {
		return { ...target, emptiness: target.emptiness ?? null, tracer: target.tracer ?? null };
	}
	return target.kind === "core" ? { ...target, pid: target.pid ?? null } : target;
};

const disassemblyJson = (functions: readonly DisassembledFunction[]): readonly object[] =>
	functions.map(({ names, address, instructions }) => ({
		names,
		address: hex(address),
		instructions: instructions.map(({ offset, bytes, text }) => ({
			address: hex(address + BigInt(offset)),
			bytes: toHex(bytes),
			text,
		})),
	}));

export const inspectJson = (report: Report, functions: readonly DisassembledFunction[] | undefined): object => {
	const { layer, timeNamespace, mappings } = report;
	return {
		target: targetJson(report),
		clock: clockJson(report),
		image: orNull(layer.image, (found) => foundJson(found, layer, mappings)),
		hostImage: orNull(layer.hostImage, range),
		auxv: auxvJson(layer),
		kernelVsyscall: orNull(layer.kernelEntry, ({ address, instruction }) => ({
			address: hex(address),
			instruction: instruction ?? null,
		})),
		vvar: vvarJson(report),
		timeNamespace: orNull(timeNamespace, ({ id, isOurs, monotonic, boottime }) => ({
			id,
			isOurs,
			monotonicNanoseconds: monotonic.toString(),
			boottimeNanoseconds: boottime.toString(),
		})),
		vsyscallPage: {
			host: report.hostVsyscall ?? null,
			mapping: orNull(layer.vsyscallPage, (mapping) => ({ ...range(mapping), permissions: mapping.permissions })),
		},
		...(functions === undefined ? {} : { disassembly: disassemblyJson(functions) }),
	};
};
