/** Patches the call sites of the page when they have trapped, and counts what came of it. */
import { ByteReader } from "../../bytes.ts";
import { mayShareMemory } from "../../linux/kcmp.ts";
import { isPrivatelyMapped } from "../../linux/maps.ts";
import { readStatusField } from "../../linux/proc-file.ts";
import type { Registers } from "../../linux/registers.ts";
import { patchMemory, readMemory } from "../../linux/remote-memory.ts";
import { errnoName } from "../../linux/syscall-error.ts";
import type { Image } from "../../vdso/image.ts";
import { findPatch, type Patch } from "../../vsyscall/call-site.ts";
import { VSYSCALL_ADDR, VSYSCALL_SIZE, type VsyscallNumber } from "../../vsyscall/page.ts";
import { imageAddress } from "../install/image-address.ts";

export interface TrappedCall {
	readonly number: VsyscallNumber;
	readonly returnAddress: bigint;
	readonly registers: Registers;
	/** The host has overwritten rax. */
	readonly hasLostRax: boolean;
}

export interface PageStatistics {
	/** Call sites that no longer trap. */
	readonly patched: number;
	/** Calls that were answered by the supervisor. */
	readonly trapped: number;
	/** Call sites that were not recognised or must not be written. */
	readonly refused: number;
}

/** What is known of a process. */
interface Process {
	/** Where its entry page is; undefined when it has none. */
	readonly entryPage: bigint | undefined;
	/** Return addresses behind which no operand was found. */
	readonly refused: Set<bigint>;
}

export interface CallPatcherOptions {
	readonly image: Image;
	readonly trace: (message: string) => void;
	/** The tasks of the run. */
	readonly tasks: () => Iterable<number>;
}

export class CallPatcher {
	readonly #image: Image;
	readonly #trace: (message: string) => void;
	readonly #tasks: () => Iterable<number>;
	readonly #processes = new Map<number, Process>();
	#patched = 0;
	#trapped = 0;
	#refused = 0;

	constructor({ image, trace, tasks }: CallPatcherOptions) {
		this.#image = image;
		this.#trace = trace;
		this.#tasks = tasks;
	}

	get statistics(): PageStatistics {
		return { patched: this.#patched, trapped: this.#trapped, refused: this.#refused };
	}

	/** The process is another program now, or gone. */
	forget(process: number): void {
		this.#processes.delete(process);
	}

	countTrap(): void {
		this.#trapped += 1;
	}

	/** Whether an address is that of an entry in the entry page of a process. */
	isEntry(process: number, tid: number, address: bigint): boolean {
		const { entryPage } = this.#processOf(process, tid);
		return entryPage !== undefined && address >= entryPage && address < entryPage + BigInt(3 * VSYSCALL_SIZE);
	}

	/** Changes the operand by which a stopped task has called the page, if that can be done. */
	patch(process: number, tid: number, call: TrappedCall): void {
		const { entryPage, refused } = this.#processOf(process, tid);
		const { number, returnAddress, registers, hasLostRax } = call;
		if (entryPage === undefined || refused.has(returnAddress)) return;
		const site = findPatch(
			{
				entry: VSYSCALL_ADDR(number),
				returnAddress,
				register: (name) => (name === "rax" && hasLostRax ? undefined : registers.get(name)),
				read: (address, length) => {
					const bytes = new Uint8Array(length);
					return bytes.subarray(0, Math.max(0, readMemory(tid, address, bytes)));
				},
			},
			entryPage + BigInt(VSYSCALL_SIZE * number),
		);
		if (site.kind === "patched") return;
		const name = `call site before 0x${returnAddress.toString(16)} (pid ${process})`;
		const obstacle = site.kind === "patch" ? this.#write(process, tid, site.patch) : "its operand was not recognised";
		if (site.kind === "patch" && obstacle === undefined) {
			this.#patched += 1;
			this.#trace(`${name}: patched, ${site.patch.operand} at 0x${site.patch.address.toString(16)}`);
			return;
		}
		refused.add(returnAddress);
		this.#refused += 1;
		this.#trace(`${name}: not patched, ${obstacle}; each call is answered here`);
	}

	#processOf(process: number, tid: number): Process {
		let known = this.#processes.get(process);
		if (known === undefined) {
			known = { entryPage: this.#entryPage(tid), refused: new Set() };
			this.#processes.set(process, known);
		}
		return known;
	}

	#entryPage(tid: number): bigint | undefined {
		const { entryPageWord } = this.#image;
		if (entryPageWord === undefined) return undefined;
		const image = imageAddress(tid, this.#image);
		if (image === undefined) return undefined;
		const word = new Uint8Array(8);
		if (readMemory(tid, image + BigInt(entryPageWord), word) !== word.length) return undefined;
		const page = new ByteReader(word).u64(0);
		return page === 0n ? undefined : page;
	}

	/**
	 * Only memory of the process alone is written, and what is wider than an atom only while nobody else can be executing it.
	 *
	 * @returns what stands against it
	 */
	#write(process: number, tid: number, patch: Patch): string | undefined {
		if (!patch.isAtomic && !this.#isAlone(process, tid)) return "other threads may be in it";
		if (!isPrivatelyMapped(tid, patch.address)) return "its memory is shared";
		const result = patchMemory(tid, patch.address, patch.after);
		return result === 0 ? undefined : `it cannot be written (${errnoName(-result)})`;
	}

	/** A task without threads can share its memory with other processes (CLONE_VM: LinuxThreads, vfork). */
	#isAlone(process: number, tid: number): boolean {
		if (readStatusField(process, "Threads") !== "1") return false;
		for (const other of this.#tasks()) if (other !== tid && mayShareMemory(tid, other)) return false;
		return true;
	}
}
