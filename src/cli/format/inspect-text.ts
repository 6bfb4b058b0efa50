/** A report of `vsyscall inspect` as text: facts, and a table for each list. */
import { formatWallClock } from "../../clock/format-clock.ts";
import { isoInstant } from "../../clock/iso.ts";
import { hex } from "../../elf/elf-error.ts";
import { fileType, segmentFlags, segmentType, symbolBinding, symbolType } from "../../elf/names.ts";
import { type AuxvEntry, formatAuxvValue } from "../../inspect/auxv.ts";
import type { DisassembledFunction } from "../../inspect/disassembly.ts";
import type { ImageReport, SymbolReport, Verdict } from "../../inspect/image-report.ts";
import { isImage, type Layer } from "../../inspect/layer.ts";
import { placeText } from "../../inspect/places.ts";
import type { Report, Target } from "../../inspect/report.ts";
import { facts } from "./facts.ts";
import { table } from "./table.ts";

type Fact = readonly [label: string, text: string];

const targetFacts = (target: Target): readonly Fact[] => {
	switch (target.kind) {
		case "host":
			return [["host", "the kernel's own layer, as it gives it to every new process"]];
		case "file":
			return [["file", target.path]];
		case "core": {
			const command = target.command === "" ? "" : `: ${target.command}`;
			return [["core file", `${target.path}, of process ${target.pid ?? "unknown"}${command}`]];
		}
		case "process":
			return [
				["process", `${target.pid}: ${target.command.join(" ")}`],
				...(target.emptiness === undefined ? [] : [["", `no memory of its own: ${target.emptiness}`] satisfies Fact]),
				...(target.tracer === undefined
					? []
					: [["traced by", `${target.tracer.name} (pid ${target.tracer.pid})`] satisfies Fact]),
			];
	}
};

const clockFacts = ({ layer: { ownClock }, clockTime }: Report): readonly Fact[] => {
	if (ownClock === undefined) return [];
	const { name, clock, address, entryPage } = ownClock;
	const shows = clockTime === undefined ? "" : `, shows ${isoInstant(clockTime)}`;
	const state = "fault" in clock ? clock.fault : `${formatWallClock(clock)}${shows}`;
	return [
		["clock", `${name === undefined ? "of one run" : name}: ${state}`],
		["", `vvar page at ${hex(address)}`],
		...(entryPage === undefined
			? []
			: [["", `patched call sites of the vsyscall page lead to ${hex(entryPage)}`] satisfies Fact]),
	];
};

const verdictText = (verdict: Verdict | undefined, abi: string): string => {
	if (verdict === undefined) return `not checked: the rules are for x86-64 and i386, and this is for ${abi}`;
	const { profile, rules, violations } = verdict;
	const whose = profile === "own" ? "vsyscall's own images" : "the kernel's images";
	if (violations.length === 0) return `keeps all ${rules} rules of ${whose}`;
	return `breaks ${violations.length} of the ${rules} rules of ${whose}`;
};

const imageFacts = (image: ImageReport): readonly Fact[] => {
	const { elf, abi, verdict } = image;
	return [
		["image", `${image.bytes.length} bytes at ${hex(image.address)}: ${elf.soname ?? "no soname"}, ${abi}`],
		[
			"header",
			`ELF${elf.bits} ${fileType(elf.header.type)}, machine ${elf.header.machine}, OS ABI ${elf.header.osAbi}, flags ${hex(elf.header.flags)}, entry ${hex(elf.header.entry)}, section table ${elf.sectionTable}`,
		],
		["build id", image.buildId ?? "none"],
		["verdict", verdictText(verdict, abi)],
		...(verdict?.violations ?? []).map(({ rule, detail }): Fact => ["", `${rule}: ${detail}`]),
		...(image.codeBits === undefined ? [["code", `for ${abi}: not decoded`] satisfies Fact] : []),
	];
};

const symbolRow = (
	{ names }: Layer,
	{ mappings }: Report,
	{ name, version, type, binding, value, size, leadsTo }: SymbolReport,
): readonly string[] => [
	hex(value),
	size.toString(),
	symbolType(type),
	symbolBinding(binding),
	version === undefined ? name : `${name}@${version}`,
	leadsTo === undefined ? "" : (placeText(names, mappings, leadsTo) ?? hex(leadsTo)),
];

const imageTables = (image: ImageReport, report: Report): readonly string[] => [
	table([
		["SEGMENT", "FLAGS", "OFFSET", "ADDRESS", "IN FILE", "IN MEMORY", "ALIGN"],
		...image.elf.programHeaders.map((header) => [
			segmentType(header.type),
			segmentFlags(header.flags),
			...[header.offset, header.virtualAddress, header.fileSize, header.memorySize, header.alignment].map(hex),
		]),
	]),
	table([["NOTE", "TYPE", "MEANING"], ...image.notes.map(({ name, type, meaning }) => [name, String(type), meaning])]),
	table([["VERSION", "INDEX"], ...image.elf.versionDefinitions.map(({ name, index }) => [name, String(index)])]),
	table([
		["OFFSET", "SIZE", "TYPE", "BIND", "SYMBOL", "LEADS TO"],
		...image.symbols
			.toSorted((a, b) => Number(a.value - b.value) || (a.name < b.name ? -1 : 1))
			.map((symbol) => symbolRow(report.layer, report, symbol)),
	]),
];

const auxvTable = ({ auxv, stackAuxv }: Layer): readonly string[] => {
	if (auxv === undefined) return [];
	const stackText = (entry: AuxvEntry, index: number): string => {
		if (stackAuxv === undefined) return "";
		const other = stackAuxv.entries[index];
		if (other === undefined) return "missing";
		return other.value === entry.value ? "same" : formatAuxvValue(other);
	};
	const where = stackAuxv === undefined ? "NOT FOUND ON THE STACK" : `ON THE STACK, AT ${hex(stackAuxv.address)}`;
	return [
		table([
			["AUXV", "IN THE KERNEL", where],
			...auxv.entries.map((entry, index) => [entry.name, formatAuxvValue(entry), stackText(entry, index)]),
		]),
	];
};

const MILLISECOND = 1_000_000n;
const MEGA = 1_000_000n;

/** With three digits behind the point. */
const thousandths = (value: bigint, unit: bigint): string => {
	const scaled = (value * 1000n) / unit;
	return `${scaled / 1000n}.${String(scaled % 1000n).padStart(3, "0")}`;
};

const signed = (value: bigint): string =>
	`${value < 0n ? "-" : "+"}${thousandths(value < 0n ? -value : value, 1_000_000_000n)} s`;

const namespaceFacts = ({ timeNamespace }: Report): readonly Fact[] => {
	if (timeNamespace === undefined) return [];
	const { id, isOurs, monotonic, boottime } = timeNamespace;
	const hasOffsets = monotonic !== 0n || boottime !== 0n;
	return [
		[
			"time namespace",
			`${id}${isOurs ? ", ours" : ", not ours"}${hasOffsets ? `: monotonic ${signed(monotonic)}, boottime ${signed(boottime)}` : ", no offsets"}`,
		],
	];
};

const vvarFacts = ({ vvar }: Report): readonly Fact[] => {
	if (vvar === undefined) return [];
	if (vvar === "unknown") return [["vvar page", "its layout is not known: nothing is said of it"]];
	const { clockMode, multiplier, shift, cyclesPerSecond } = vvar;
	return [
		[
			"vvar page",
			`layout ${vvar.layout}, at ${hex(vvar.offset)} of page ${vvar.page}; read from this process's own mapping, since it is one page for all`,
		],
		["clock mode", `${clockMode.value}, ${clockMode.name}`],
		["multiplier", `${multiplier}, shift ${shift}: ${thousandths(cyclesPerSecond, MEGA)} MHz`],
		["age", `${thousandths(vvar.age, MILLISECOND)} ms since the kernel wrote it; sequence ${vvar.sequence}`],
	];
};

const vsyscallFacts = ({ layer, hostVsyscall, target }: Report): readonly Fact[] => {
	if (target.kind === "file") return [];
	const page = layer.vsyscallPage;
	const host: readonly Fact[] =
		hostVsyscall === undefined ? [] : [["vsyscall page", `the host's mode is ${hostVsyscall}: a child called it`]];
	const line =
		page === undefined ? "not mapped" : `${hex(page.start)}-${hex(page.end)} ${page.permissions} ${page.name}`;
	return [...host, ["in maps", line.trimEnd()]];
};

const entryFacts = ({ layer: { kernelEntry } }: Report): readonly Fact[] =>
	kernelEntry === undefined
		? []
		: [
				[
					"32-bit entry",
					`__kernel_vsyscall at ${hex(kernelEntry.address)}: ${kernelEntry.instruction ?? "no known instruction"}`,
				],
			];

const foundFacts = ({ layer }: Report): readonly Fact[] => {
	const { image, hostImage } = layer;
	const host: readonly Fact[] =
		hostImage === undefined ? [] : [["host's image", `${hex(hostImage.start)}-${hex(hostImage.end)} [vdso]`]];
	if (image === undefined) return layer.auxv === undefined ? host : [["image", "none: no AT_SYSINFO_EHDR"], ...host];
	if (!isImage(image)) return [["image", `at ${hex(image.address)}: ${image.fault}`], ...host];
	return [...imageFacts(image), ...host];
};

/** Blocks with an empty line between them. */
export const inspectText = (report: Report): string => {
	const { image } = report.layer;
	const isEmpty = report.target.kind === "process" && report.target.emptiness !== undefined;
	return [
		facts([...targetFacts(report.target), ...clockFacts(report)]),
		...(isEmpty ? [] : [facts(foundFacts(report))]),
		...(isImage(image) ? imageTables(image, report) : []),
		...auxvTable(report.layer),
		facts([
			...entryFacts(report),
			...vvarFacts(report),
			...namespaceFacts(report),
			...(isEmpty ? [] : vsyscallFacts(report)),
		]),
	]
		.filter((block) => block.trim() !== "")
		.join("\n");
};

const LONGEST_INSTRUCTION = 15;

const instructionBytes = (bytes: Uint8Array): string =>
	Array.from(bytes.subarray(0, LONGEST_INSTRUCTION), (byte) => byte.toString(16).padStart(2, "0")).join(" ");

/** As `objdump -d` shows it. */
export const disassemblyText = (functions: readonly DisassembledFunction[]): string =>
	functions
		.map(({ names, address, instructions }) => {
			const title = names.length === 0 ? `${hex(address)}:` : `${hex(address)} ${names.join(", ")}:`;
			const rows = instructions.map(({ offset, bytes, text }) => [
				`  ${hex(address + BigInt(offset))}`,
				instructionBytes(bytes),
				text,
			]);
			return `${title}\n${table(rows)}`;
		})
		.join("\n");
