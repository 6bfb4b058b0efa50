/** The functions of the image of 64-bit processes. */
import type { Label } from "../asm/operands.ts";
import { eax, edx } from "../asm/registers.ts";
import { EM_X86_64 } from "../elf/constants.ts";
import { VDSO_CLASSES } from "../elf/vdso-class.ts";
import { CALL, forwardedCall } from "../observation/calls.ts";
import { SYSCALL_KEY } from "../syscalls/key.ts";
import type { Blocks, ExportedName } from "./blocks.ts";
import { emitClockGettime } from "./clock-gettime.ts";
import { emitForward } from "./forward.ts";
import { emitGetcpu } from "./getcpu.ts";
import { emitGettimeofday } from "./gettimeofday.ts";
import * as vdso from "./host.ts";
import type { ImageClass } from "./image-class.ts";
import { emitInternalFunctions } from "./internal.ts";
import { emitObserverFunctions, emitTraced, isTracedWhole } from "./observer/hooks.ts";
import { emitSyscallStubs } from "./syscall-stubs.ts";
import { emitTime } from "./time.ts";
import type { Emission } from "./wall.ts";

const VERSION = "LINUX_2.6";

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
			return emitForward(emission, emission.links.own("clock_getres"), { counter: { base: CALL.clock_getres } });
	}
};

/** System calls of the stubs that read a clock: what they return is transformed by the image, or not moved by the wall. */
const KEYED_SYSCALLS: ReadonlySet<number> = new Set([vdso.SYSCALLS.clock_gettime, vdso.SYSCALLS.gettimeofday]);

const emitSyscallStub = ({ assembler }: Emission, number: number): void => {
	if (KEYED_SYSCALLS.has(number)) assembler.mov(edx, SYSCALL_KEY);
	assembler.mov(eax, number);
	assembler.syscall();
	assembler.ret();
};

interface Exported {
	readonly name: string;
	readonly exports: readonly ExportedName[];
	/** Its number among the calls that are counted or traced. */
	readonly call: number;
}

/** A function, or, where it is traced, one that calls it and has its names. */
const emitExported = (
	emission: Emission,
	blocks: Blocks,
	{ name, exports, call }: Exported,
	emit: () => void,
): void => {
	const isTraced = isTracedWhole(emission, name);
	const { start } = blocks.emit(name, isTraced ? [] : exports, emit);
	if (isTraced) blocks.emit(`traced ${name}`, exports, () => emitTraced(emission, name, { call, body: start }));
};

export const IMAGE_64: ImageClass = {
	machine: EM_X86_64,
	soname: VDSO_CLASSES[64].soname,
	versions: [VERSION],
	emitFunctions: (emission, blocks) => {
		const { assembler, links } = emission;
		for (const name of vdso.OWN_FUNCTIONS) {
			const exports = [
				{ name: `__vdso_${name}`, binding: "global", version: VERSION },
				{ name, binding: "weak", version: VERSION },
			] as const;
			emitExported(emission, blocks, { name, exports, call: CALL[name] }, () => emitOwn(emission, name));
		}
		links.forwardedFunctions.forEach((exports, index) => {
			const [first] = exports;
			const name = first.name.replace(/^__vdso_/, "");
			const call = forwardedCall(index, 64);
			emitExported(emission, blocks, { name, exports, call }, () =>
				emitForward(emission, links.forward(first), {
					counter: { call },
					name: isTracedWhole(emission, name) ? undefined : name,
				}),
			);
		});
		const syscallStubs = emitSyscallStubs(links, blocks, (number) => emitSyscallStub(emission, number));
		const emitInternal = (start: Label, emit: () => void): void => {
			blocks.emit(start.name, [], () => {
				assembler.bind(start);
				emit();
			});
		};
		emitInternalFunctions(emission, emitInternal);
		emitObserverFunctions(emission, emitInternal);
		return { syscallStubs, kernelVsyscall: undefined };
	},
};
