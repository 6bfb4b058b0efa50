/** The functions of the image of 32-bit processes. */
import { EM_386 } from "../elf/constants.ts";
import { emitForward } from "./forward.ts";
import type { ImageClass } from "./image-class.ts";

export const IMAGE_32: ImageClass = {
	machine: EM_386,
	soname: "linux-gate.so.1",
	versions: ["LINUX_2.5", "LINUX_2.6"],
	emitFunctions: (emission, blocks) => {
		const { links } = emission;
		const emitted = links.forwarded.map((entry) =>
			blocks.emit(entry.name, [entry], () => emitForward(emission, links.forward(entry))),
		);
		return {
			syscallStubs: new Map(),
			kernelVsyscall: emitted.find(({ name }) => name === "__kernel_vsyscall")?.start,
		};
	},
};
