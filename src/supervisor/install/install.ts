/**
 * Gives a process our image and page, at its exec stop: one thread, before its first instruction.
 *
 *     exec stop   registers, initial stack -> the class, where AT_SYSINFO_EHDR stands
 *                 stage 1 (vdso/bootstrap.ts) into the zeros behind the host's vDSO; its frame below the stack (vdso/install-frame.ts)
 *                 registers of stage 1, go
 *     (no stop)   stage 1 opens and maps the file, stage 2 (vdso/installer.ts) does the rest and enters the program
 *
 * Only when something fails does the process stop once more, and the supervisor decides: for a file that cannot be opened
 * there is a descriptor of it, or a copy at last (provided-files.ts); anything else ends the attempt.
 */
import { fstatSync, statSync } from "node:fs";
import { VsyscallError } from "../../errors.ts";
import { readHostImageOf } from "../../linux/host-vdso.ts";
import { hostVdsoRange, isFree as isFreeIn } from "../../linux/maps.ts";
import { readStatusField } from "../../linux/proc-file.ts";
import { readRegisters, readSignalMask, writeRegisters, writeSignalMask } from "../../linux/ptrace.ts";
import { ARGUMENT_REGISTERS, Registers } from "../../linux/registers.ts";
import { pokeMemory, readMemory, writeMemory } from "../../linux/remote-memory.ts";
import { INSTALL_FRAME } from "../../vdso/install-frame.ts";
import * as kernel from "../../vdso/kernel-calls.ts";
import type { CallPlace } from "../remote-call.ts";
import { failed, memoryFailure, type NewProgram, type Obstacle, readNewProgram } from "./exec-stop.ts";
import { frameAddress, makeFrame, writePageDescriptor } from "./frame.ts";
import type { InstalledImage, Kit, Kits } from "./kits.ts";
import type { Observer } from "../observation/observer.ts";
import { describeMemory } from "./memory-map.ts";
import type { PageFile } from "./page-file.ts";
import type { ProvidedFiles } from "./provided-files.ts";

export interface InstallSetup {
	readonly kits: Kits;
	readonly pageFile: PageFile;
	/** Told of every process in front of its install, in a run that counts or traces calls. */
	readonly observer?: Pick<Observer, "installs"> | undefined;
}

/** An install that has been started: what is needed to understand a later stop. */
export interface PendingInstall {
	readonly kit: Kit;
	/** Address of stage 1. */
	readonly bootstrap: bigint;
	/** What stood there, when that must come back before the program runs. */
	readonly overwritten: Uint8Array | undefined;
	/** The signal mask of the program, when it had to be changed. */
	readonly mask: BigUint64Array | undefined;
	/** The registers as execve left them, the stack pointer moved if an entry was inserted. */
	readonly initial: Registers;
	/** The registers with which stage 1 was entered. */
	readonly entered: Registers;
}

export type InstallResult = { readonly kind: "started"; readonly pending: PendingInstall } | Obstacle;

/** What the tracer of a process writes into it to start an install. */
export interface ForeignInstall {
	/** Where stage 1 goes. */
	readonly bootstrap: bigint;
	/** Whole words. */
	readonly code: Uint8Array;
	readonly entered: Registers;
}

/** Below the stack pointer and the frame, inside the stack's first pages: memory for calls. */
const CALL_SCRATCH_DISTANCE = 2048n;

const URGENT = 1n << BigInt(kernel.SIGURG - 1);
const currentMask = new BigUint64Array(1);

/** The signal mask of a process that could not stop itself by SIGURG; undefined of one that can. */
const maskWithUrgent = (tid: number): BigUint64Array | undefined => {
	if (!readSignalMask(tid, currentMask)) return undefined;
	return ((currentMask[0] ?? 0n) & URGENT) === 0n ? undefined : currentMask.slice();
};

/** What stands in the place where stage 1 is to go. */
type Place = Pick<PendingInstall, "bootstrap" | "overwritten">;

/** Puts stage 1 behind the host's code, or, where there is no room, over the program's first bytes until it has run. */
const plant = (tid: number, { initial, hostImage }: NewProgram, { code, room }: Kit): Place | Obstacle => {
	let bootstrap = hostImage + BigInt(room ?? 0);
	let overwritten: Uint8Array | undefined;
	if (hostImage === 0n || room === undefined) {
		bootstrap = initial.get("rip");
		overwritten = new Uint8Array(code.length);
		const count = readMemory(tid, bootstrap, overwritten);
		if (count < 0) return memoryFailure("read", -count);
	}
	const result = pokeMemory(tid, bootstrap, code);
	if (result < 0) return memoryFailure("written", -result);
	return { bootstrap, overwritten };
};

/** What stage 1 expects in the registers of its arguments: bootstrap.ts has the table. */
const enteredRegisters = ({ initial }: NewProgram, kit: Kit, bootstrap: bigint): Registers => {
	const { architecture } = kit;
	const frame = frameAddress({ initial });
	const args = [
		BigInt(kernel.AT_FDCWD),
		frame + BigInt(INSTALL_FRAME.imagePath),
		BigInt(kernel.O_RDONLY | kernel.O_CLOEXEC | kernel.O_NONBLOCK),
		BigInt(kit.hostDistance === undefined ? kernel.MAP_PRIVATE : kernel.MAP_PRIVATE | kernel.MAP_FIXED_NOREPLACE),
		0n,
		0n,
	];
	const entered = initial.copy();
	ARGUMENT_REGISTERS[architecture].forEach((name, index) => {
		const argument = args[index] ?? 0n;
		entered.set(name, architecture === "i386" ? BigInt.asUintN(32, argument) : argument);
	});
	entered.set("rip", bootstrap);
	entered.set("rsp", frame);
	// No system call to restart: execve's is over.
	entered.set("orig_rax", -1n);
	return entered;
};

export class Installer {
	readonly #setup: InstallSetup;

	constructor(setup: InstallSetup) {
		this.#setup = setup;
	}

	/** The image of ours that a process has; undefined when it has none, or not any more. */
	installedIn(pid: number): InstalledImage | undefined {
		return this.#setup.kits.installedIn(pid);
	}

	/** Where a 64-bit process that has the image has room for code as long as stage 1, whose work is done; undefined when there is none. */
	roomIn(tid: number): bigint | undefined {
		const kit = this.installedIn(tid)?.kit;
		const start = kit?.room === undefined || kit.wordSize !== 8 ? undefined : hostVdsoRange(tid)?.start;
		return start === undefined ? undefined : start + BigInt(kit?.room ?? 0);
	}

	/** Whether a process finds our files where we do: it may have another root, other namespaces, another user. */
	isReachableFrom(pid: number): boolean {
		const { fd, path } = this.#setup.pageFile.files;
		try {
			const seen = statSync(`/proc/${pid}/root${Buffer.from(path.subarray(0, -1)).toString()}`);
			const own = fstatSync(fd);
			const [, user] = (readStatusField(pid, "Uid") ?? "").split("\t").map(Number);
			return seen.ino === own.ino && seen.dev === own.dev && (user === 0 || user === process.geteuid?.());
		} catch {
			return false;
		}
	}

	/** Starts the install of a process in its exec stop. On success the process only needs to be resumed. */
	start(tid: number): InstallResult {
		const initial = new Registers();
		if (!readRegisters(tid, initial)) return { kind: "dead" };
		const found = this.#look(tid, initial);
		if ("kind" in found) return found;
		const { program, kit } = found;
		const place = plant(tid, program, kit);
		if ("kind" in place) return place;
		const mask = maskWithUrgent(tid);
		const isOverwritten = place.overwritten !== undefined;
		// Without a supervisor nobody could put the program's first bytes back: better no program than one that begins with stage 1.
		const entry = isOverwritten ? 0n : initial.get("rip");
		const obstacle = this.#writeFrame(tid, found, { entry, stopsWhenDone: isOverwritten || mask !== undefined });
		if (obstacle !== undefined) return obstacle;
		const entered = enteredRegisters(program, kit, place.bootstrap);
		if (mask !== undefined)
			writeSignalMask(
				tid,
				mask.map((blocked) => blocked & ~URGENT),
			);
		if (!writeRegisters(tid, entered)) return { kind: "dead" };
		return { kind: "started", pending: { kit, ...place, mask, initial, entered } };
	}

	/** The same for a process that has another tracer: what that one is to write. @param initial its registers at an exec stop */
	forOtherTracer(tid: number, initial: Registers): ForeignInstall | Obstacle {
		const found = this.#look(tid, initial);
		if ("kind" in found) return found;
		const { program, kit } = found;
		if (program.hostImage === 0n || kit.room === undefined) return failed("the host's vDSO has no room for stage 1");
		const bootstrap = program.hostImage + BigInt(kit.room);
		const obstacle = this.#writeFrame(tid, found, { entry: initial.get("rip"), stopsWhenDone: false });
		return obstacle ?? { bootstrap, code: kit.code, entered: enteredRegisters(program, kit, bootstrap) };
	}

	#look(tid: number, initial: Registers): { readonly program: NewProgram; readonly kit: Kit } | Obstacle {
		const program = readNewProgram(tid, initial);
		if ("kind" in program) return program;
		const { kits } = this.#setup;
		if (program.wordSize === 8) return { program, kit: kits.wide };
		try {
			const { hostImage } = program;
			const isFree = (length: number, dataSize: number): boolean => {
				const end = hostImage - BigInt(dataSize);
				return hostImage !== 0n && isFreeIn(tid, { start: end - BigInt(length), end });
			};
			return { program, kit: kits.narrow((own) => readHostImageOf(tid, hostImage, own), isFree) };
		} catch (error) {
			if (error instanceof VsyscallError) return failed(error.message);
			throw error;
		}
	}

	/** Leaves below the stack pointer what both stages need. */
	#writeFrame(
		tid: number,
		{ program, kit }: { readonly program: NewProgram; readonly kit: Kit },
		ending: { readonly entry: bigint; readonly stopsWhenDone: boolean },
	): Obstacle | undefined {
		const memoryMap = describeMemory(tid, program.auxv);
		const observed = this.#setup.observer?.installs(tid, kit.image);
		const written = writeMemory(
			tid,
			frameAddress(program),
			makeFrame({ program, kit, memoryMap, observed, ...ending }),
		);
		return written < 0 ? memoryFailure("written", -written) : undefined;
	}

	/** A system call instruction, and writable memory that nobody uses, for calls on behalf of a process that has stopped in stage 1. */
	placeForCalls({ kit, bootstrap, initial }: PendingInstall): { readonly place: CallPlace; readonly scratch: bigint } {
		const address = bootstrap + BigInt(kit.bootstrap.syscall);
		return {
			place: { address, architecture: kit.architecture },
			scratch: initial.get("rsp") - CALL_SCRATCH_DISTANCE,
		};
	}

	/** Puts back what stage 1 overwrote, the signal mask and the registers, so that the program starts as execve meant it to. */
	enterProgram(tid: number, pending: PendingInstall): boolean {
		if (pending.overwritten !== undefined) pokeMemory(tid, pending.bootstrap, pending.overwritten);
		if (pending.mask !== undefined) writeSignalMask(tid, pending.mask);
		const registers = pending.initial.copy();
		registers.set("rax", 0n);
		registers.set("orig_rax", -1n);
		return writeRegisters(tid, registers);
	}

	/** Sets the registers of a process that has descriptors now, so that stage 1 goes on with them. */
	continueWith(tid: number, pending: PendingInstall, files: Exclude<ProvidedFiles, { kind: "failed" }>): boolean {
		const { kit } = pending;
		if (!writePageDescriptor(tid, frameAddress(pending), kit, files)) return false;
		const registers = pending.entered.copy();
		registers.set("rip", pending.bootstrap + BigInt(kit.bootstrap.opened));
		registers.set("rax", BigInt(files.image));
		return writeRegisters(tid, registers);
	}
}
