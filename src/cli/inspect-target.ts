/** What `vsyscall inspect` was asked to look at -> a report. Loaded only when the verb runs. */
import { wallTime } from "../clock/clock.ts";
import { ElfError } from "../elf/elf-error.ts";
import { ET_DYN, PT_INTERP } from "../elf/constants.ts";
import { openElf, readHeader } from "../elf/headers.ts";
import { spaceOf, type Mapping } from "../inspect/address-space.ts";
import { isCoreFile, readCoreFile, readSegments } from "../inspect/core-file.ts";
import { describeImage } from "../inspect/image-report.ts";
import { isProgram, notAnImage } from "../inspect/inspect-error.ts";
import { readKernelEntry } from "../inspect/kernel-entry.ts";
import { describeLayer, type Layer, layerOfImage } from "../inspect/layer.ts";
import type { Report, TimeNamespaceReport } from "../inspect/report.ts";
import { describeVvar } from "../inspect/vvar-report.ts";
import { hostRealtime } from "../linux/host-vdso.ts";
import { probeHostVsyscall } from "../linux/host-vsyscall.ts";
import { readKernelImage32 } from "../linux/kernel-image32.ts";
import { withFile } from "../linux/open-file.ts";
import { ownPid } from "../linux/own-pid.ts";
import { lookAtProcess } from "../linux/process-view.ts";
import { readTimeNamespace } from "../linux/time-namespace.ts";
import { readVvarPages } from "../linux/vvar-pages.ts";
import { type ByteSource, bytesAt } from "../scan/source.ts";

/** The kernel writes its page some hundred times a second: a look that it disturbs is taken again. */
const LOOKS = 20;

const readVvar = (): Report["vvar"] => {
	for (let look = 0; look < LOOKS; look++) {
		const pages = readVvarPages();
		if (pages === undefined) return undefined;
		const report = describeVvar(pages);
		if (report !== undefined) return report;
	}
	return "unknown";
};

const timeNamespaceOf = (pid: number): TimeNamespaceReport | undefined => {
	const namespace = readTimeNamespace(pid);
	if (namespace === undefined) return undefined;
	return { ...namespace, isOurs: namespace.id === readTimeNamespace("self")?.id };
};

const clockTimeOf = ({ ownClock }: Layer): Report["clockTime"] =>
	ownClock === undefined || "fault" in ownClock.clock ? undefined : wallTime(ownClock.clock, hostRealtime());

export const inspectProcess = (pid: number): Report =>
	lookAtProcess(pid, (view) => {
		const { command, emptiness, tracer, mappings, memory } = view;
		const layer = describeLayer(view);
		const hasMemory = emptiness === undefined;
		return {
			target: { kind: "process", pid, command, emptiness, tracer },
			layer,
			mappings,
			memory,
			clockTime: clockTimeOf(layer),
			vvar: hasMemory && mappings.some(({ name }) => name === "[vvar]") ? readVvar() : undefined,
			timeNamespace: hasMemory ? timeNamespaceOf(pid) : undefined,
			hostVsyscall: hasMemory ? probeHostVsyscall() : undefined,
		};
	});

/** How 32-bit programs enter the kernel: one is made for the question. */
const hostKernelEntry = (): Layer["kernelEntry"] => {
	const image = readKernelImage32();
	if (image?.entry === undefined || image.address === undefined) return undefined;
	return readKernelEntry(spaceOf(image.bytes, image.address), image.entry);
};

/** The kernel's layer as it is in this process, also when this process is one of a run. */
export const inspectHost = (): Report =>
	lookAtProcess(ownPid(), (view) => {
		const image = view.mappings.find(isHostImage)?.start;
		return {
			target: { kind: "host" },
			layer: { ...describeLayer({ ...view, auxv: undefined, image }), kernelEntry: hostKernelEntry() },
			mappings: view.mappings,
			memory: view.memory,
			clockTime: undefined,
			vvar: readVvar(),
			timeNamespace: timeNamespaceOf(ownPid()),
			hostVsyscall: probeHostVsyscall(),
		};
	});

const isHostImage = ({ name }: Mapping): boolean => name === "[vdso]";

const NOTHING: Pick<Report, "clockTime" | "vvar" | "timeNamespace" | "hostVsyscall"> = {
	clockTime: undefined,
	vvar: undefined,
	timeNamespace: undefined,
	hostVsyscall: undefined,
};

const inspectCore = (path: string, source: ByteSource): Report => {
	const core = readCoreFile(source);
	return {
		target: { kind: "core", path, pid: core.pid, command: core.command },
		layer: describeLayer(core),
		mappings: core.mappings,
		memory: core.memory,
		...NOTHING,
	};
};

/** Images have some pages; what is much larger is something else. */
const LARGEST_FILE = 16 << 20;

const inspectImage = (path: string, source: ByteSource): Report => {
	const head = openElf(bytesAt(source, 0, ELF_HEADER));
	const isLoaded = readSegments(source, head).some(({ type }) => type === PT_INTERP);
	if (readHeader(head).type !== ET_DYN || isLoaded) throw isProgram(path);
	const bytes = bytesAt(source, 0, Math.min(source.length, LARGEST_FILE));
	const memory = spaceOf(bytes, 0n);
	const image = describeImage({ address: 0n, bytes, memory });
	return { target: { kind: "file", path }, layer: layerOfImage(image), mappings: [], memory, ...NOTHING };
};

const ELF_HEADER = 64;

export const inspectFile = (path: string): Report =>
	withFile(path, (source) => {
		try {
			return isCoreFile(bytesAt(source, 0, ELF_HEADER)) ? inspectCore(path, source) : inspectImage(path, source);
		} catch (error) {
			if (error instanceof ElfError) throw notAnImage(path, error.message, error);
			throw error;
		}
	});
