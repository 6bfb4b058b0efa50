/** The functions of the image of 64-bit processes. */
import { eax, edx } from "../asm/registers.ts";
import { EM_X86_64 } from "../elf/constants.ts";
import { VDSO_CLASSES } from "../elf/vdso-class.ts";
import { SYSCALL_KEY } from "../syscalls/key.ts";
import { emitClockGettime } from "./clock-gettime.ts";
import { emitForward } from "./forward.ts";
import { emitGetcpu } from "./getcpu.ts";
import { emitGettimeofday } from "./gettimeofday.ts";
import * as vdso from "./host.ts";
import type { ImageClass } from "./image-class.ts";
import { emitInternalFunctions } from "./internal.ts";
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
			return emitForward(emission, emission.links.own("clock_getres"));
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
			blocks.emit(name, exports, () => emitOwn(emission, name));
		}
		for (const offset of new Set(links.forwarded.map((entry) => entry.offset))) {
			const aliases = links.forwarded.filter((entry) => entry.offset === offset);
			const [first] = aliases;
			if (first !== undefined) blocks.emit(first.name, aliases, () => emitForward(emission, links.forward(first)));
		}
		const syscallStubs = emitSyscallStubs(links, blocks, (number) => emitSyscallStub(emission, number));
		emitInternalFunctions(emission, (start, emit) =>
			blocks.emit(start.name, [], () => {
				assembler.bind(start);
				emit();
			}),
		);
		return { syscallStubs, kernelVsyscall: undefined };
	},
};
