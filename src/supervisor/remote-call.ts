/**
 * System calls on behalf of a stopped process, one at a time, as an event machine: the supervisor never waits for one pid.
 *
 * A call takes two stops, its entry and its exit (PTRACE_SYSCALL, so no signal is involved). Nothing of the process is changed for
 * it but the registers, so that it finds its way when the supervisor dies in between.
 */
import { readRegisters, resumeToSyscall, writeRegisters } from "../linux/ptrace.ts";
import { ARGUMENT_REGISTERS, Registers, USER32_CS, USER64_CS } from "../linux/registers.ts";
import { NUMBERS, type OwnCall } from "../syscalls/numbers.ts";
import type { Architecture } from "../syscalls/time-calls.ts";

export interface RemoteCall {
	readonly name: OwnCall;
	readonly args: readonly bigint[];
}

/** Yields the calls it wants and is given their results (or -errno); ends with what came of it. */
export type RemoteScript<Result> = Generator<RemoteCall, Result, bigint>;

/** An instruction of a process that calls the kernel: `syscall` or `int 0x80`, and what is meant by numbers and registers there. */
export interface CallPlace {
	readonly address: bigint;
	readonly architecture: Architecture;
}

/** Runs the calls of a script on behalf of a stopped task; then `finished` is called, and must resume it. */
export type CallRemotely = <Result>(
	tid: number,
	place: CallPlace,
	script: RemoteScript<Result>,
	finished: (result: Result) => void,
) => void;

export type ScriptStep<Result> =
	/** The process was resumed; the next syscall-stop is the script's. */
	{ readonly kind: "running" } | { readonly kind: "finished"; readonly result: Result } | { readonly kind: "dead" };

/** The code segment in which the instruction means that: a process of one class can run code of the other. */
const CODE_SEGMENT: Readonly<Record<Architecture, bigint>> = { "x86-64": USER64_CS, i386: USER32_CS };

export class RemoteCaller<Result> {
	readonly #tid: number;
	readonly #script: RemoteScript<Result>;
	readonly #place: CallPlace;
	readonly #registers = new Registers();
	#isInside = false;

	constructor(tid: number, place: CallPlace, script: RemoteScript<Result>) {
		this.#tid = tid;
		this.#place = place;
		this.#script = script;
	}

	/** Makes the first call of the script. */
	begin(): ScriptStep<Result> {
		if (!readRegisters(this.#tid, this.#registers)) return { kind: "dead" };
		return this.#advance(this.#script.next());
	}

	/** To be called at each syscall-stop of the process. */
	syscallStop(): ScriptStep<Result> {
		this.#isInside = !this.#isInside;
		if (this.#isInside) return resumeToSyscall(this.#tid) ? { kind: "running" } : { kind: "dead" };
		if (!readRegisters(this.#tid, this.#registers)) return { kind: "dead" };
		return this.#advance(this.#script.next(BigInt.asIntN(64, this.#registers.get("rax"))));
	}

	#advance(next: IteratorResult<RemoteCall, Result>): ScriptStep<Result> {
		if (next.done === true) return { kind: "finished", result: next.value };
		const { name: call, args } = next.value;
		const { address, architecture } = this.#place;
		const registers = this.#registers.copy();
		registers.set("cs", CODE_SEGMENT[architecture]);
		registers.set("rip", address);
		registers.set("rax", BigInt(NUMBERS[architecture][call]));
		registers.set("orig_rax", -1n);
		ARGUMENT_REGISTERS[architecture].forEach((name, index) => registers.set(name, args[index] ?? 0n));
		if (!writeRegisters(this.#tid, registers)) return { kind: "dead" };
		return resumeToSyscall(this.#tid) ? { kind: "running" } : { kind: "dead" };
	}
}
