/** The functions of the image of 32-bit processes. */
import type { Label } from "../asm/operands.ts";
import { EM_386 } from "../elf/constants.ts";
import { VDSO_CLASSES } from "../elf/vdso-class.ts";
import { CALL_I386, forwardedCall } from "../observation/calls.ts";
import type { Blocks, ExportedName } from "./blocks.ts";
import type { EntryForm } from "./fast-entry.ts";
import { type HostFunction, KERNEL_VSYSCALL, OWN_FUNCTIONS_I386, type OwnFunctionI386, WALL_CLOCKS } from "./host.ts";
import { emitClockGettime } from "./i386/clock-gettime.ts";
import { emitDrifting } from "./i386/drift.ts";
import type { Emission } from "./i386/emission.ts";
import { emitForward } from "./i386/forward.ts";
import { emitGetcpu } from "./i386/getcpu.ts";
import { emitGettimeofday } from "./i386/gettimeofday.ts";
import { emitAskHost } from "./i386/host-clock.ts";
import { internalFunctions } from "./i386/internal.ts";
import { emitKernelVsyscall } from "./i386/kernel-entry.ts";
import { emitObserverFunctions, emitTraced, isTracedWhole } from "./i386/observer/hooks.ts";
import { SIGRETURNS } from "./i386/sigreturn.ts";
import { emitSyscallStub } from "./i386/syscall-stub.ts";
import { emitTime } from "./i386/time.ts";
import type { ImageClass } from "./image-class.ts";
import type { Counter } from "./observer/slots.ts";
import { emitSyscallStubs } from "./syscall-stubs.ts";

const VERSION = "LINUX_2.6";
const KERNEL_VERSION = "LINUX_2.5";

interface Exported {
	/** What it is called among the blocks. */
	readonly block: string;
	readonly name: string;
	readonly exports: readonly ExportedName[];
	/** Its number among the calls that are counted or traced. */
	readonly call: number;
}

const exported = (name: string, version: string): readonly ExportedName[] => [{ name, binding: "global", version }];

const emitOwn = (emission: Emission, name: OwnFunctionI386): void => {
	switch (name) {
		case "clock_gettime":
		case "clock_gettime64":
			return emitClockGettime(emission, name);
		case "gettimeofday":
			return emitGettimeofday(emission);
		case "time":
			return emitTime(emission);
		case "getcpu":
			return emitGetcpu(emission);
	}
};

/** What stands at the border to the kernel. */
const emitKernelFunctions = (emission: Emission, blocks: Blocks, entryForm: EntryForm): void => {
	const { assembler, internal, links } = emission;
	blocks.emit(KERNEL_VSYSCALL, exported(KERNEL_VSYSCALL, KERNEL_VERSION), () => {
		assembler.bind(internal.kernelVsyscall);
		emitKernelVsyscall(emission, entryForm, links.kernelVsyscall?.label);
	});
	for (const { name, lead, emit } of SIGRETURNS) {
		const exports = exported(name, KERNEL_VERSION);
		blocks.emit(
			name,
			exports,
			() => emit(emission),
			() => lead(emission),
		);
	}
};

const emitInternalFunctions = (emission: Emission, blocks: Blocks): void => {
	const { assembler, internal } = emission;
	const emit = (label: Label, body: () => void): void => {
		blocks.emit(label.name, [], () => {
			assembler.bind(label);
			body();
		});
	};
	emit(internal.askHost, () => emitAskHost(emission));
	for (const clock of WALL_CLOCKS) emit(internal.drifting[clock], () => emitDrifting(emission, clock));
	emitObserverFunctions(emission, emit);
};

/** A function, or, where it is traced, one that calls it and has its name. */
const emitExported = (
	emission: Emission,
	blocks: Blocks,
	{ block, name, exports, call }: Exported,
	emit: () => void,
): void => {
	const isTraced = isTracedWhole(emission, name);
	const { start } = blocks.emit(block, isTraced ? [] : exports, emit);
	if (isTraced) blocks.emit(`traced ${name}`, exports, () => emitTraced(emission, name, { call, body: start }));
};

/** A function of the host's, of which an alias is one more. */
const emitForwarded = (emission: Emission, blocks: Blocks, entry: HostFunction): void => {
	const { assembler, links } = emission;
	const name = entry.name.replace(/^__vdso_/, "");
	const index = links.forwardedFunctions.findIndex(([first]) => first.offset === entry.offset);
	const counter: Counter =
		name === "clock_getres" ? { base: CALL_I386.clock_getres } : { call: forwardedCall(index, 32) };
	const call = "call" in counter ? counter.call : counter.base;
	emitExported(emission, blocks, { block: entry.name, name, exports: [entry], call }, () => {
		assembler.endbr();
		const isRecorded = isTracedWhole(emission, name);
		emitForward(emission, links.forward(entry), { counter, name: isRecorded ? undefined : name })();
	});
};

export const IMAGE_32: ImageClass = {
	machine: EM_386,
	soname: VDSO_CLASSES[32].soname,
	versions: [VERSION, KERNEL_VERSION],
	emitFunctions: (shared, blocks, entryForm) => {
		const emission: Emission = { ...shared, internal: internalFunctions() };
		const { internal, links } = emission;
		emitKernelFunctions(emission, blocks, entryForm);
		for (const name of OWN_FUNCTIONS_I386) {
			const exports = exported(`__vdso_${name}`, VERSION);
			const call = CALL_I386[name];
			emitExported(emission, blocks, { block: name, name, exports, call }, () => emitOwn(emission, name));
		}
		for (const entry of links.forwarded) emitForwarded(emission, blocks, entry);
		const syscallStubs = emitSyscallStubs(links, blocks, (number) => emitSyscallStub(emission, number));
		emitInternalFunctions(emission, blocks);
		return { syscallStubs, kernelVsyscall: internal.kernelVsyscall };
	},
};
