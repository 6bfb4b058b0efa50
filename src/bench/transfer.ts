/**
 * How a measuring program talks (protocol.ts), in either class: what it sends and receives, and how it reads the clock of the report.
 */
import type { Assembler } from "../asm/assembler.ts";
import type { BasedMemory, Label } from "../asm/operands.ts";
import { eax, type Register } from "../asm/registers.ts";
import { argumentRegister, emitCallInstruction, wordRegisters } from "../vdso/system-call.ts";
import * as protocol from "./protocol.ts";

const STDIN = 0;
const STDOUT = 1;

/** What differs from class to class. The registers are kept by calls with three arguments. */
export interface Transfer {
	readonly calls: { readonly read: number; readonly write: number; readonly clock_gettime: number };
	/** The block. */
	readonly block: Register;
	/** Where bytes are sent from; how many have been received. */
	readonly from: Register;
	/** Its lower 32 bits. */
	readonly fromHalf: Register;
	/** How many bytes are left to send. */
	readonly left: Register;
}

export const emitCall = (assembler: Assembler, number: number): void => {
	assembler.mov(eax, number);
	emitCallInstruction(assembler);
};

/** Sends `left` bytes from `from`. */
export const emitSend = (assembler: Assembler, { calls, from, left }: Transfer, failed: Label): void => {
	const again = assembler.label("send");
	const { ax } = wordRegisters(assembler);
	assembler.bind(again);
	assembler.mov(argumentRegister(assembler, 0).half, STDOUT);
	assembler.mov(argumentRegister(assembler, 1).word, from);
	assembler.mov(argumentRegister(assembler, 2).word, left);
	emitCall(assembler, calls.write);
	assembler.test(ax, ax);
	assembler.jcc("s", failed);
	assembler.add(from, ax);
	assembler.sub(left, ax);
	assembler.jcc("nz", again);
};

/** Receives a request into the block. */
export const emitReceive = (assembler: Assembler, transfer: Transfer, over: Label): void => {
	const again = assembler.label("receive");
	const { calls, block, from: received, fromHalf: receivedHalf } = transfer;
	const { ax } = wordRegisters(assembler);
	const [address, count] = [argumentRegister(assembler, 1), argumentRegister(assembler, 2)];
	assembler.xor(receivedHalf, receivedHalf);
	assembler.bind(again);
	assembler.mov(argumentRegister(assembler, 0).half, STDIN);
	assembler.mov(address.word, block);
	assembler.add(address.word, received);
	assembler.mov(count.half, protocol.REQUEST_SIZE);
	assembler.sub(count.word, received);
	emitCall(assembler, calls.read);
	assembler.test(ax, ax);
	assembler.jcc("le", over);
	assembler.add(received, ax);
	assembler.cmp(received, protocol.REQUEST_SIZE);
	assembler.jcc("nz", again);
};

/** Stores CLOCK_MONOTONIC_RAW as a timespec of 64-bit words. */
export const emitClock = (assembler: Assembler, { calls }: Transfer, place: BasedMemory): void => {
	assembler.mov(argumentRegister(assembler, 0).half, protocol.CLOCK_MONOTONIC_RAW);
	assembler.lea(argumentRegister(assembler, 1).word, place);
	emitCall(assembler, calls.clock_gettime);
};
