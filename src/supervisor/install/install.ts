/**
 * Gives a process our image and page, at its exec stop: one thread, before its first instruction.
 *
 *     exec stop   registers, initial stack -> where AT_SYSINFO_EHDR stands
 *                 stage 1 (vdso/bootstrap.ts) into the zeros behind the host's vDSO; path and memory map below the stack
 *                 registers of stage 1, go
 *     (no stop)   stage 1 opens and maps the file, stage 2 (vdso/installer.ts) does the rest and enters the program
 *
 * Only when something fails does the process stop once more, and the supervisor decides: for a file that cannot be opened
 * there is a descriptor of it, or a copy at last (provided-files.ts); anything else ends the attempt.
 */
import { randomInt } from "node:crypto";
import { fstatSync, statSync } from "node:fs";
import { type InitialStack, insertEhdr, parseInitialStack } from "../../auxv/initial-stack.ts";
import { VsyscallError } from "../../errors.ts";
import { setU32 } from "../../bytes.ts";
import { readStatusField } from "../../linux/proc-file.ts";
import { readRegisters, readSignalMask, writeRegisters, writeSignalMask } from "../../linux/ptrace.ts";
import { Registers, USER32_CS } from "../../linux/registers.ts";
import { pokeMemory, readMemory, writeMemory } from "../../linux/remote-memory.ts";
import { errnoName } from "../../linux/syscall-error.ts";
import { assembleBootstrap, type Bootstrap, PAGE_BY_PATH, PAGE_IN_IMAGE, PARCEL } from "../../vdso/bootstrap.ts";
import type { Image } from "../../vdso/image.ts";
import { ENTRY_PAGE_PLACES, entryPagePlace } from "../../vsyscall/entry-page.ts";
import * as kernel from "../../vdso/kernel-calls.ts";
import { imageAddress } from "./image-address.ts";
import { describeMemory } from "./memory-map.ts";
import type { ProvidedFiles, StaleFile } from "./provided-files.ts";
import type { PageFile } from "./page-file.ts";

/** Where stage 1 finds room in the host's vDSO: bytes from its start; undefined when the host has none or it is full. */
export type BootstrapRoom = number | undefined;

export interface InstallSetup {
	readonly image: Image;
	readonly pageFile: PageFile;
	/** @param length bytes that stage 1 needs */
	readonly roomFor: (length: number) => BootstrapRoom;
	/** Told of every process in front of its install; in a run that counts or traces calls. */
	readonly observer?: { readonly installs: (pid: number, stackPointer: bigint) => void } | undefined;
}

/** An install that has been started: what is needed to understand a later stop. */
export interface PendingInstall {
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

export type InstallResult =
	| { readonly kind: "started"; readonly pending: PendingInstall }
	/** The process is gone. */
	| { readonly kind: "dead" }
	/** 32-bit programs are not covered. */
	| { readonly kind: "not-64-bit" }
	| { readonly kind: "failed"; readonly reason: string };

/** What the tracer of a process writes into it to start an install. */
export interface ForeignInstall {
	/** Where stage 1 goes. */
	readonly bootstrap: bigint;
	/** Whole words. */
	readonly code: Uint8Array;
	readonly entered: Registers;
}

interface Found {
	/** The registers as execve left them, the stack pointer moved if an entry was inserted. */
	readonly initial: Registers;
	/** The kernel's vDSO; 0 when there is none. */
	readonly hostImage: bigint;
	/** Where the auxiliary vector has AT_SYSINFO_EHDR. */
	readonly ehdrSlot: bigint;
	readonly auxv: { readonly address: bigint; readonly size: number };
}

export interface InstallFailure {
	readonly kind: "failed";
	readonly at: "open" | "map";
	readonly errno: number;
	readonly stale: StaleFile | undefined;
}

/** "over": the install has ended before; "other": something else happened while it is under way. */
export type StopMeaning = "over" | "other" | "done" | InstallFailure;

const ESRCH = 3;
const EIO = 5;
const EPERM = 1;
const ENOMEM = 12;
const EFAULT = 14;
const FIRST_READ = 4096;
const MAX_STACK = 64 * 1024 * 1024;
/** Below the stack pointer and the parcel, inside the stack's first pages: memory for calls. */
const CALL_SCRATCH_DISTANCE = 2048n;

/** In r12: the process is to stop when it is done. */
const STOPS_WHEN_DONE = 1n;

const failed = (reason: string): InstallResult => ({ kind: "failed", reason });

const memoryFailure = (what: string, errno: number): InstallResult => {
	if (errno === ESRCH) return { kind: "dead" };
	if (errno === EPERM || errno === EIO || errno === EFAULT) {
		return failed(`its memory cannot be ${what} (${errnoName(errno)}): the program file is not readable by this user`);
	}
	return failed(`its memory cannot be ${what} (${errnoName(errno)})`);
};

/** What r8 holds until there is a descriptor. */
const NO_DESCRIPTOR = 0xffff_ffff_ffff_ffffn;

const isWithin = (offset: number, start: number, end: number): boolean => offset >= start && offset < end;

const URGENT = 1n << BigInt(kernel.SIGURG - 1);
const currentMask = new BigUint64Array(1);

/** Makes sure that a process can stop itself by SIGURG. @returns its mask, if that had to be changed */
const unblockUrgent = (tid: number): BigUint64Array | undefined => {
	if (!readSignalMask(tid, currentMask)) return undefined;
	const [blocked = 0n] = currentMask;
	if ((blocked & URGENT) === 0n) return undefined;
	writeSignalMask(tid, new BigUint64Array([blocked & ~URGENT]));
	return currentMask.slice();
};

const paddedToWords = (code: Uint8Array): Uint8Array => {
	const padded = new Uint8Array((code.length + 7) & ~7);
	padded.set(code);
	return padded;
};

/** Most stacks are understood from one page: read into memory that is used again. */
const firstWords = new BigUint64Array(FIRST_READ / 8);

interface StackRead {
	readonly words: BigUint64Array;
	readonly stack: InitialStack;
}

/** The stack as words, read until the auxiliary vector is complete. The words are valid until the next call. */
const readStack = (tid: number, stackPointer: bigint): StackRead | InstallResult => {
	for (let length = FIRST_READ; length <= MAX_STACK; length *= 4) {
		const words = length === FIRST_READ ? firstWords : new BigUint64Array(length / 8);
		const count = readMemory(tid, stackPointer, new Uint8Array(words.buffer));
		if (count < 0) return memoryFailure("read", -count);
		const known = words.subarray(0, count >> 3);
		const stack = parseInitialStack(known);
		if (stack !== "more") return { words: known, stack };
		if (count < length) break;
	}
	return failed("its auxiliary vector was not found on the initial stack");
};

/** Where a process first tries to map its entry page. */
const randomPlace = (): bigint => entryPagePlace(randomInt(ENTRY_PAGE_PLACES));

export class Installer {
	readonly #setup: InstallSetup;
	readonly bootstrap: Bootstrap;
	readonly #code: Uint8Array;
	readonly #room: BootstrapRoom;
	readonly #registers = new Registers();

	constructor(setup: InstallSetup) {
		this.#setup = setup;
		this.bootstrap = assembleBootstrap(setup.image);
		this.#code = paddedToWords(this.bootstrap.code);
		this.#room = setup.roomFor(this.#code.length);
	}

	/** Whether a process has the image. */
	isInstalled(pid: number): boolean {
		return imageAddress(pid, this.#setup.image) !== undefined;
	}

	/** Whether a process finds our file where we do: it may have another root, other namespaces, another user. */
	isReachableFrom(pid: number): boolean {
		const { fd, path } = this.#setup.pageFile;
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
		const found = this.#find(tid, initial);
		if ("kind" in found) return found;
		const place = this.#plant(tid, initial.get("rip"), found.hostImage);
		if ("kind" in place) return place;
		const entered = this.#enter(tid, found, place.bootstrap);
		if ("kind" in entered) return entered;
		const mask = unblockUrgent(tid);
		if (place.overwritten !== undefined || mask !== undefined) entered.set("r12", entered.get("r12") | STOPS_WHEN_DONE);
		// Without a supervisor nobody could put the program's first bytes back: better no program than one that begins with stage 1.
		if (place.overwritten !== undefined) entered.set("r14", 0n);
		// No system call to restart: execve's is over.
		entered.set("orig_rax", -1n);
		if (!writeRegisters(tid, entered)) return { kind: "dead" };
		return { kind: "started", pending: { ...place, mask, initial, entered } };
	}

	/** The same for a process that has another tracer: what that one is to write. @param initial its registers at an exec stop */
	forOtherTracer(tid: number, initial: Registers): ForeignInstall | InstallResult {
		const found = this.#find(tid, initial);
		if ("kind" in found) return found;
		if (found.hostImage === 0n || this.#room === undefined) return failed("the host's vDSO has no room for stage 1");
		const bootstrap = found.hostImage + BigInt(this.#room);
		const entered = this.#enter(tid, found, bootstrap);
		return "kind" in entered ? entered : { bootstrap, code: this.#code, entered };
	}

	/** Where things are on the initial stack. An entry is inserted where AT_SYSINFO_EHDR is missing. */
	#find(tid: number, initial: Registers): Found | InstallResult {
		if (initial.get("cs") === USER32_CS) return { kind: "not-64-bit" };
		let read: StackRead | InstallResult;
		try {
			read = readStack(tid, initial.get("rsp"));
		} catch (error) {
			if (error instanceof VsyscallError) return failed(error.message);
			throw error;
		}
		if ("kind" in read) return read;
		const { words, stack } = read;

		const hostImage = stack.ehdrIndex === undefined ? 0n : (words[stack.ehdrIndex] ?? 0n);
		let ehdrIndex = stack.ehdrIndex;
		let auxvCount = stack.auxvCount;
		if (ehdrIndex === undefined) {
			const longer = insertEhdr(words, stack, 0n);
			initial.set("rsp", initial.get("rsp") - 16n);
			const written = writeMemory(tid, initial.get("rsp"), new Uint8Array(longer.buffer));
			if (written < 0) return memoryFailure("written", -written);
			ehdrIndex = stack.auxvIndex + 1;
			auxvCount += 1;
		}
		return {
			initial,
			hostImage,
			ehdrSlot: initial.get("rsp") + BigInt(ehdrIndex * 8),
			auxv: { address: initial.get("rsp") + BigInt(stack.auxvIndex * 8), size: auxvCount * 16 },
		};
	}

	/** Leaves below the stack pointer what both stages need. @returns the registers with which stage 1 is entered */
	#enter(tid: number, { initial, hostImage, ehdrSlot, auxv }: Found, bootstrap: bigint): Registers | InstallResult {
		const map = describeMemory(tid, auxv);
		const stackPointer = initial.get("rsp");
		const parcelAddress = stackPointer + BigInt(PARCEL.memoryMap);
		const written = writeMemory(tid, parcelAddress, this.#parcel(map));
		if (written < 0) return memoryFailure("written", -written);
		this.#setup.observer?.installs(tid, stackPointer);

		const entered = initial.copy();
		entered.set("rip", bootstrap);
		entered.set("rdi", BigInt(kernel.AT_FDCWD));
		entered.set("rsi", stackPointer + BigInt(PARCEL.imagePath));
		entered.set("rdx", BigInt(kernel.O_RDONLY | kernel.O_CLOEXEC | kernel.O_NONBLOCK));
		entered.set("r10", BigInt(kernel.MAP_PRIVATE));
		entered.set("r9", 0n);
		entered.set("r8", NO_DESCRIPTOR);
		entered.set("rbp", hostImage);
		entered.set("rbx", map === undefined ? 0n : parcelAddress);
		entered.set("r12", this.#setup.image.entryPageWord === undefined ? 0n : randomPlace());
		entered.set("r13", BigInt(this.#setup.image.mappingLength));
		entered.set("r14", initial.get("rip"));
		entered.set("r15", ehdrSlot);
		return entered;
	}

	/** What both stages find below the stack pointer. */
	#parcel(map: Uint8Array | undefined): Uint8Array {
		const { path, clockPath } = this.#setup.pageFile;
		const parcel = new Uint8Array(PARCEL.size);
		if (map !== undefined) parcel.set(map);
		parcel.set(path, PARCEL.imagePath - PARCEL.memoryMap);
		if (clockPath !== undefined) parcel.set(clockPath, PARCEL.pagePath - PARCEL.memoryMap);
		const descriptor = clockPath === undefined ? PAGE_IN_IMAGE : PAGE_BY_PATH;
		setU32(parcel, PARCEL.pageDescriptor - PARCEL.memoryMap, descriptor >>> 0);
		return parcel;
	}

	/** Puts stage 1 behind the host's code, or, where there is no room, over the program's first bytes until it has run. */
	#plant(
		tid: number,
		entry: bigint,
		hostImage: bigint,
	): { bootstrap: bigint; overwritten: Uint8Array | undefined } | InstallResult {
		let bootstrap = hostImage + BigInt(this.#room ?? 0);
		let overwritten: Uint8Array | undefined;
		if (hostImage === 0n || this.#room === undefined) {
			bootstrap = entry;
			overwritten = new Uint8Array(this.#code.length);
			const count = readMemory(tid, entry, overwritten);
			if (count < 0) return memoryFailure("read", -count);
		}
		const result = pokeMemory(tid, bootstrap, this.#code);
		if (result < 0) return memoryFailure("written", -result);
		return { bootstrap, overwritten };
	}

	/** Whether a process that has stopped, for whatever reason, is in the middle of its install. */
	isUnderWay(tid: number, pending: PendingInstall): boolean {
		return readRegisters(tid, this.#registers) && this.meaningOfStop(pending, this.#registers) !== "over";
	}

	/** What a stop with these registers says about the install. */
	meaningOfStop(pending: PendingInstall, registers: Registers): StopMeaning {
		const { image } = this.#setup;
		const rip = registers.get("rip");
		const inBootstrap = Number(rip - pending.bootstrap);
		const inImage = Number(rip - registers.get("r13"));
		const isBootstrap = this.bootstrap.stops.includes(inBootstrap);
		if (!isBootstrap && !image.installerStops.includes(inImage)) {
			const isUnderWay =
				isWithin(inBootstrap, 0, this.#code.length) || isWithin(inImage, image.installerOffset, image.installerEnd);
			return isUnderWay ? "other" : "over";
		}
		const result = BigInt.asIntN(64, registers.get("r12"));
		if (result >= 0n) return "done";
		const errno = Number(-BigInt.asIntN(32, result));
		if (errno === kernel.ESTALE) return { kind: "failed", at: "open", errno, stale: this.#stale(registers, "r15") };
		if (isBootstrap && this.#failedToOpen(registers)) return { kind: "failed", at: "open", errno, stale: undefined };
		// What lacks memory lacks it for every file; anything else says that this file is not one to map, so it is not ours.
		if (isBootstrap && errno !== ENOMEM)
			return { kind: "failed", at: "open", errno, stale: this.#stale(registers, undefined) };
		return { kind: "failed", at: "map", errno, stale: undefined };
	}

	/** What a fault with these registers says: the file that stage 1 has mapped may be another, and empty. */
	meaningOfFault(pending: PendingInstall, registers: Registers): StopMeaning {
		const inBootstrap = Number(registers.get("rip") - pending.bootstrap);
		if (!isWithin(inBootstrap, this.bootstrap.opened, this.bootstrap.code.length))
			return this.meaningOfStop(pending, registers);
		return { kind: "failed", at: "open", errno: kernel.ESTALE, stale: this.#stale(registers, "rax") };
	}

	#stale(registers: Registers, holdsAddress: "rax" | "r15" | undefined): StaleFile {
		return {
			address: holdsAddress === undefined ? undefined : registers.get(holdsAddress),
			length: this.#setup.image.mappingLength,
			descriptor: registers.get("r8"),
		};
	}

	/** Stage 1 moves the descriptor to r8 as soon as it has one. */
	#failedToOpen(registers: Registers): boolean {
		return registers.get("r8") === NO_DESCRIPTOR;
	}

	/** A `syscall` instruction, and writable memory that nobody uses, for calls on behalf of a process that has stopped in stage 1. */
	placeForCalls(pending: PendingInstall): { readonly instruction: bigint; readonly scratch: bigint } {
		return {
			instruction: pending.bootstrap + BigInt(this.bootstrap.syscall),
			scratch: pending.initial.get("rsp") - CALL_SCRATCH_DISTANCE,
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
		const registers = pending.entered.copy();
		const page = new Uint8Array(4);
		setU32(page, 0, (files.kind === "passed" ? (files.page ?? PAGE_IN_IMAGE) : PAGE_IN_IMAGE) >>> 0);
		const place = pending.initial.get("rsp") + BigInt(PARCEL.pageDescriptor);
		if (writeMemory(tid, place, page) !== page.length) return false;
		registers.set("rip", pending.bootstrap + BigInt(this.bootstrap.opened));
		registers.set("rax", BigInt(files.image));
		return writeRegisters(tid, registers);
	}
}
