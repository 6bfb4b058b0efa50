/** System calls on behalf of a stopped task that need some memory: it is lent below the red zone of the stack. */
import type { Registers } from "../../linux/registers.ts";
import { resume, writeRegisters } from "../../linux/ptrace.ts";
import { readMemory, writeMemory } from "../../linux/remote-memory.ts";
import type { Image } from "../../vdso/image.ts";
import { imageAddress } from "../install/image-address.ts";
import type { CallRemotely, RemoteScript } from "../remote-call.ts";

export interface ScratchCall {
	readonly tid: number;
	/** With which the task goes on. */
	readonly registers: Registers;
	/** @param scratch the address of SCRATCH_SIZE bytes */
	readonly script: (scratch: bigint) => RemoteScript<void>;
	/** Called at the end. @returns whether the task is taken care of; otherwise it is resumed */
	readonly finished?: () => boolean;
}

/** System V ABI: 128 bytes below the stack pointer belong to the function that runs. */
const RED_ZONE = 128n;
/** What the scripts need: an itimerspec, or a sock_fprog with its filter. */
export const SCRATCH_SIZE = 256;

/** Address of so many bytes that nobody uses, aligned to 16. They may lie below a small stack. */
export const scratchBelow = (stackPointer: bigint, size: number): bigint =>
	(stackPointer - RED_ZONE - BigInt(size)) & ~15n;

export class ScratchCaller {
	readonly #image: Image;
	readonly #callRemotely: CallRemotely;

	constructor(image: Image, callRemotely: CallRemotely) {
		this.#image = image;
		this.#callRemotely = callRemotely;
	}

	/** @returns false when the calls cannot be made: the task is as it was, and stopped */
	run({ tid, registers, script, finished }: ScratchCall): boolean {
		const address = imageAddress(tid, this.#image);
		const scratch = scratchBelow(registers.get("rsp"), SCRATCH_SIZE);
		// A small stack (a goroutine's) may end before that: what stands there comes back.
		const overwritten = new Uint8Array(SCRATCH_SIZE);
		if (address === undefined || readMemory(tid, scratch, overwritten) !== SCRATCH_SIZE) return false;
		this.#callRemotely(tid, address + BigInt(this.#image.syscallOffset), script(scratch), () => {
			writeMemory(tid, scratch, overwritten);
			if (finished?.() === true) return;
			writeRegisters(tid, registers);
			resume(tid, 0);
		});
		return true;
	}
}
