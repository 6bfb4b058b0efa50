/** System calls on behalf of a stopped task that need some memory: it is lent below the red zone of the stack. */
import type { WordSize } from "../../bytes.ts";
import type { Registers } from "../../linux/registers.ts";
import { resume, writeRegisters } from "../../linux/ptrace.ts";
import { readMemory, writeMemory } from "../../linux/remote-memory.ts";
import type { InstalledImage } from "../install/kits.ts";
import type { CallRemotely, RemoteScript } from "../remote-call.ts";

export interface ScratchPlace {
	/** The address of SCRATCH_SIZE bytes. */
	readonly scratch: bigint;
	/** Bytes of an address in the structures of the calls. */
	readonly wordSize: WordSize;
}

export interface ScratchCall {
	readonly tid: number;
	/** With which the task goes on. */
	readonly registers: Registers;
	readonly script: (place: ScratchPlace) => RemoteScript<void>;
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
	readonly #installedIn: (tid: number) => InstalledImage | undefined;
	readonly #callRemotely: CallRemotely;

	constructor(installedIn: (tid: number) => InstalledImage | undefined, callRemotely: CallRemotely) {
		this.#installedIn = installedIn;
		this.#callRemotely = callRemotely;
	}

	/** @returns false when the calls cannot be made: the task is as it was, and stopped */
	run({ tid, registers, script, finished }: ScratchCall): boolean {
		const installed = this.#installedIn(tid);
		const scratch = scratchBelow(registers.get("rsp"), SCRATCH_SIZE);
		// A small stack (a goroutine's) may end before that: what stands there comes back.
		const overwritten = new Uint8Array(SCRATCH_SIZE);
		if (installed === undefined || readMemory(tid, scratch, overwritten) !== SCRATCH_SIZE) return false;
		const { address, kit } = installed;
		const place = { address: address + BigInt(kit.image.syscallOffset), architecture: kit.architecture };
		this.#callRemotely(tid, place, script({ scratch, wordSize: kit.wordSize }), () => {
			writeMemory(tid, scratch, overwritten);
			if (finished?.() === true) return;
			writeRegisters(tid, registers);
			resume(tid, 0);
		});
		return true;
	}
}
