/** System calls on behalf of a stopped task that need some memory: it is lent below the red zone of the stack. */
import type { Registers } from "../../linux/registers.ts";
import { resume, writeRegisters } from "../../linux/ptrace.ts";
import { readMemory, writeMemory } from "../../linux/remote-memory.ts";
import type { Image } from "../../vdso/image.ts";
import { imageAddress } from "../install/image-address.ts";
import type { RemoteScript } from "../remote-call.ts";

/** Runs system calls on behalf of a stopped task; then `finished` is called, and must resume it. */
export type CallRemotely = (tid: number, instruction: bigint, script: RemoteScript<void>, finished: () => void) => void;

export interface ScratchCall {
	readonly tid: number;
	/** With which the task goes on. */
	readonly registers: Registers;
	/** @param scratch the address of SCRATCH_SIZE bytes */
	readonly script: (scratch: bigint) => RemoteScript<void>;
	/** Called at the end. @returns whether the task is taken care of; otherwise it is resumed */
	readonly finished?: () => boolean;
}

const RED_ZONE = 128n;
/** What the scripts need: an itimerspec, or a sock_fprog with its filter. */
export const SCRATCH_SIZE = 256;

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
		const scratch = (registers.get("rsp") - RED_ZONE - BigInt(SCRATCH_SIZE)) & ~15n;
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
