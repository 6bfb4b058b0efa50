/**
 * The submission queue of a ring of another process: read, and an address in an entry exchanged.
 *
 * A ring's memory is mapped here as well, through a borrowed descriptor. Reading it where the program has it would do on some kernels
 * only (before Linux 6.10 process_vm_readv(2) does not reach such mappings), and the program need not have it mapped at all. A mapping
 * keeps the ring alive, so it must be released soon, unless somebody else keeps the ring meanwhile.
 */
import { closeSync, fstatSync } from "node:fs";
import {
	IO_URING_SETUP,
	IORING_OFF_SQ_RING,
	IORING_OFF_SQES,
	PARAMS_SIZE,
	type RingReads,
	type RingShape,
	ringsLength,
} from "../syscalls/io-uring.ts";
import { ByteReader, setU64 } from "../bytes.ts";
import { borrowDescriptor } from "./borrowed-descriptor.ts";
import { syscallResult } from "./ffi.ts";
import { mapShared, unmap } from "./memfd.ts";
import { readMemory, writeMemory } from "./remote-memory.ts";
import { SyscallError } from "./syscall-error.ts";

export interface RingMemory extends RingReads {
	/** Puts a word into an entry that the kernel has not taken yet. */
	setField(index: number, field: number, value: bigint): void;
	/** Puts a word into an entry where another one stands; where the program has put a third meanwhile, nothing is changed. */
	exchangeField(index: number, field: number, exchange: { readonly from: bigint; readonly to: bigint }): void;
	release(): void;
}

const WORD_SIZE = 8;

/** A ring that the kernel has made the memory of. */
class MappedRing implements RingMemory {
	readonly #shape: RingShape;
	readonly #rings: Uint8Array;
	readonly #entries: Uint8Array;

	/** @throws {SyscallError} when the descriptor is no ring of this shape. */
	constructor(fd: number, shape: RingShape) {
		this.#shape = shape;
		this.#rings = mapShared(fd, IORING_OFF_SQ_RING, ringsLength(shape));
		try {
			this.#entries = mapShared(fd, IORING_OFF_SQES, shape.entries * shape.stride);
		} catch (error) {
			unmap(this.#rings);
			throw error;
		}
	}

	word(offset: number): number {
		return new ByteReader(this.#rings).u32(offset);
	}

	entry(index: number): Uint8Array {
		const { stride } = this.#shape;
		return this.#entries.subarray(index * stride, (index + 1) * stride);
	}

	setField(index: number, field: number, value: bigint): void {
		setU64(this.#entries, index * this.#shape.stride + field, value);
	}

	exchangeField(index: number, field: number, { from, to }: { readonly from: bigint; readonly to: bigint }): void {
		const words = new BigUint64Array(this.#entries.buffer, this.#entries.byteOffset);
		Atomics.compareExchange(words, (index * this.#shape.stride + field) / WORD_SIZE, from, to);
	}

	release(): void {
		unmap(this.#rings);
		unmap(this.#entries);
	}
}

/**
 * A ring in memory of the program's own (IORING_SETUP_NO_MMAP), which cannot be mapped a second time: an exchange is not atomic there. It
 * lasts some microseconds, in which another thread would have to fill the same entry.
 */
class RemoteRing implements RingMemory {
	readonly #tid: number;
	readonly #stride: number;
	readonly #own: NonNullable<RingShape["own"]>;

	constructor(tid: number, stride: number, own: NonNullable<RingShape["own"]>) {
		this.#tid = tid;
		this.#stride = stride;
		this.#own = own;
	}

	word(offset: number): number {
		return new ByteReader(this.#read(this.#own.rings + BigInt(offset), 4)).u32(0);
	}

	entry(index: number): Uint8Array {
		return this.#read(this.#at(index, 0), this.#stride);
	}

	setField(index: number, field: number, value: bigint): void {
		const bytes = new Uint8Array(WORD_SIZE);
		setU64(bytes, 0, value);
		writeMemory(this.#tid, this.#at(index, field), bytes);
	}

	exchangeField(index: number, field: number, { from, to }: { readonly from: bigint; readonly to: bigint }): void {
		const found = new ByteReader(this.#read(this.#at(index, field), WORD_SIZE)).u64(0);
		if (found === from) this.setField(index, field, to);
	}

	release(): void {}

	#at(index: number, field: number): bigint {
		return this.#own.entries + BigInt(index * this.#stride + field);
	}

	/** Zeros where the program has unmapped it: then the kernel reads something that nobody sees. */
	#read(address: bigint, length: number): Uint8Array {
		const bytes = new Uint8Array(length);
		readMemory(this.#tid, address, bytes);
		return bytes;
	}
}

/** A ring in memory of the program's own, seen by a task that has it; undefined for any other. */
export const ownRing = (tid: number, { stride, own }: RingShape): RingMemory | undefined =>
	own === undefined ? undefined : new RemoteRing(tid, stride, own);

/** @returns undefined when the descriptor is no ring of this shape */
const mapRing = (fd: number, shape: RingShape): RingMemory | undefined => {
	try {
		return new MappedRing(fd, shape);
	} catch (error) {
		if (error instanceof SyscallError) return undefined;
		throw error;
	}
};

/** A file that a process has open: which it is, and, as a ring of a shape, its memory. */
export interface OpenRing {
	/** The same through every descriptor that there is of it. */
	readonly identity: string;
	readonly memoryIn: (tid: number, shape: RingShape) => RingMemory | undefined;
}

/**
 * Calls `use` with a descriptor of a process, which is borrowed for that long.
 *
 * @returns -errno when it cannot be borrowed
 */
export const withRing = <Result>(
	process: number,
	descriptor: number,
	use: (ring: OpenRing) => Result,
): Result | number => {
	const fd = borrowDescriptor(process, descriptor);
	if (fd < 0) return fd;
	try {
		const { dev, ino } = fstatSync(fd, { bigint: true });
		return use({ identity: `${dev} ${ino}`, memoryIn: (tid, shape) => ownRing(tid, shape) ?? mapRing(fd, shape) });
	} finally {
		closeSync(fd);
	}
};

let areTold: boolean | undefined;

const lookWhetherRingsAreTold = (): boolean => {
	const rings = [0, 0].map(() => syscallResult(IO_URING_SETUP, 1, new Uint8Array(PARAMS_SIZE)));
	const inodes = rings.filter((fd) => fd >= 0).map((fd) => fstatSync(fd, { bigint: true }).ino);
	for (const fd of rings) if (fd >= 0) closeSync(fd);
	return new Set(inodes).size === inodes.length;
};

/** Whether each ring has an inode of its own, by which it is known whoever has it open: Linux 5.16. */
export const areRingsTold = (): boolean => (areTold ??= lookWhetherRingsAreTold());
