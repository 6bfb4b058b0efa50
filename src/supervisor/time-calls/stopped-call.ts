/**
 * A system call of a task that is stopped in front of it, or behind it: arguments and result, by architecture.
 *
 * A 64-bit task that issues int 0x80 has its arguments in the lower halves of the registers of i386.
 */
import { readRegisters, writeRegisters } from "../../linux/ptrace.ts";
import { ARGUMENT_REGISTERS, type RegisterName, Registers } from "../../linux/registers.ts";
import { readMemory, writeMemory } from "../../linux/remote-memory.ts";
import type { Architecture, TimeCall } from "../../syscalls/time-calls.ts";

const EPERM = 1;

export class StoppedCall {
	readonly tid: number;
	readonly architecture: Architecture;
	readonly call: TimeCall;
	readonly registers: Registers;
	#isClosed = false;

	constructor(tid: number, architecture: Architecture, call: TimeCall, registers: Registers) {
		this.tid = tid;
		this.architecture = architecture;
		this.call = call;
		this.registers = registers;
	}

	/** An argument as a pointer, or as an unsigned word. */
	argument(index: number): bigint {
		const value = this.registers.get(this.#register(index));
		return this.architecture === "i386" ? BigInt.asUintN(32, value) : value;
	}

	/** An argument that the kernel takes as an int. */
	int(index: number): number {
		return Number(BigInt.asIntN(32, this.argument(index)));
	}

	/** The register of an argument, whole. */
	raw(index: number): bigint {
		return this.registers.get(this.#register(index));
	}

	setRaw(index: number, value: bigint): void {
		this.registers.set(this.#register(index), value);
	}

	/** The kernel keeps the memory of the task from us: what reading and writing said means nothing. */
	isClosed(): boolean {
		return this.#isClosed;
	}

	/** The bytes at an address of the program; undefined when not all of them can be read. */
	read(address: bigint, length: number): Uint8Array | undefined {
		const bytes = new Uint8Array(length);
		return this.#note(readMemory(this.tid, address, bytes)) === length ? bytes : undefined;
	}

	/** @returns whether all of it could be written */
	write(address: bigint, bytes: Uint8Array): boolean {
		return this.#note(writeMemory(this.tid, address, bytes)) === bytes.length;
	}

	/** Something else has said that the process is closed. */
	noteClosed(): void {
		this.#isClosed = true;
	}

	#note(result: number): number {
		if (result === -EPERM) this.#isClosed = true;
		return result;
	}

	/** Makes the kernel leave the call out. @returns false when the task is gone */
	skip(result: bigint): boolean {
		this.registers.set("orig_rax", -1n);
		this.registers.set("rax", result);
		return writeRegisters(this.tid, this.registers);
	}

	/** Looks again, at a later stop. @returns false when the task is gone */
	refresh(): boolean {
		return readRegisters(this.tid, this.registers);
	}

	#register(index: number): RegisterName {
		const name = ARGUMENT_REGISTERS[this.architecture][index];
		if (name === undefined) throw new RangeError(`A system call has six arguments: there is no ${index}`);
		return name;
	}
}
