/**
 * System calls on behalf of a stopped process, one at a time, as an event machine: the supervisor never waits for one pid.
 *
 * A call takes two stops, its entry and its exit (PTRACE_SYSCALL, so no signal is involved). Nothing of the process is changed for
 * it but the registers, so that it finds its way when the supervisor dies in between.
 */
import { readRegisters, resumeToSyscall, writeRegisters } from "../linux/ptrace.ts";
import type { RegisterName } from "../linux/registers.ts";
import { Registers } from "../linux/registers.ts";

export interface RemoteCall {
	readonly number: number;
	readonly args: readonly bigint[];
}

/** Yields the calls it wants and is given their results (or -errno); ends with what came of it. */
export type RemoteScript<Result> = Generator<RemoteCall, Result, bigint>;

/** Runs the calls of a script on behalf of a stopped task; then `finished` is called, and must resume it. */
export type CallRemotely = <Result>(
	tid: number,
	/** Address of a `syscall` instruction in the process. */
	instruction: bigint,
	script: RemoteScript<Result>,
	finished: (result: Result) => void,
) => void;

export type ScriptStep<Result> =
	/** The process was resumed; the next syscall-stop is the script's. */
	{ readonly kind: "running" } | { readonly kind: "finished"; readonly result: Result } | { readonly kind: "dead" };

const ARGUMENTS: readonly RegisterName[] = ["rdi", "rsi", "rdx", "r10", "r8", "r9"];

export class RemoteCaller<Result> {
	readonly #tid: number;
	readonly #script: RemoteScript<Result>;
	/** Address of a `syscall` instruction in the process. */
	readonly #instruction: bigint;
	readonly #registers = new Registers();
	#isInside = false;

	constructor(tid: number, instruction: bigint, script: RemoteScript<Result>) {
		this.#tid = tid;
		this.#instruction = instruction;
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
		const { number, args } = next.value;
		const registers = this.#registers.copy();
		registers.set("rip", this.#instruction);
		registers.set("rax", BigInt(number));
		registers.set("orig_rax", -1n);
		ARGUMENTS.forEach((name, index) => registers.set(name, args[index] ?? 0n));
		if (!writeRegisters(this.#tid, registers)) return { kind: "dead" };
		return resumeToSyscall(this.#tid) ? { kind: "running" } : { kind: "dead" };
	}
}
