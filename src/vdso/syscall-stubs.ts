/** Functions of the image that make the system calls which the host's vDSO lacks. */
import type { Label } from "../asm/operands.ts";
import type { Blocks } from "./blocks.ts";
import type { LinkPage } from "./link-page.ts";

/** @param emit emits the one for a number. @returns their starts by number */
export const emitSyscallStubs = (
	links: LinkPage,
	blocks: Blocks,
	emit: (number: number) => void,
): ReadonlyMap<number, Label> => {
	const stubs = new Map<number, Label>();
	for (const { target } of links.words) {
		if (target.kind !== "syscall") continue;
		const { number } = target;
		stubs.set(number, blocks.emit(`syscall ${number}`, [], () => emit(number)).start);
	}
	return stubs;
};
