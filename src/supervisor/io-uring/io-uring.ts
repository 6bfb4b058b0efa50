/**
 * The calls of io_uring(7): rings are known from the call that makes them, and what is submitted to them goes on with the host's times
 * (submissions.ts).
 *
 * What would submit without a call of its own, or has a layout that nobody knows here, is refused as a kernel refuses it that does not
 * have it.
 */
import { resume } from "../../linux/ptrace.ts";
import { areRingsTold } from "../../linux/ring-memory.ts";
import { ByteReader } from "../../bytes.ts";
import { hostRealtime } from "../../linux/host-vdso.ts";
import {
	IO_URING_ENTER,
	IO_URING_REGISTER,
	IO_URING_SETUP,
	IORING_ENTER_REGISTERED_RING,
	IORING_REGISTER_RESIZE_RINGS,
	IORING_REGISTER_RING_FDS,
	IORING_REGISTER_USE_REGISTERED_RING,
	IORING_SETUP_KNOWN,
	IORING_SETUP_REGISTERED_FD_ONLY,
	IORING_SETUP_SQPOLL,
	PARAMS_SIZE,
	readRingShape,
	RING_SLOT_SIZE,
	setupFlags,
} from "../../syscalls/io-uring.ts";
import type { IoUringWay } from "../../syscalls/io-uring-way.ts";
import { CLOCK_REALTIME } from "../../syscalls/time-calls.ts";
import { programName } from "../process-facts.ts";
import type { Nanoseconds } from "../../units.ts";
import type { StoppedCall } from "../time-calls/stopped-call.ts";
import { Rings } from "./rings.ts";
import { Submissions, type SubmissionsOptions } from "./submissions.ts";

export interface IoUringOptions extends SubmissionsOptions {
	readonly way: Exclude<IoUringWay, "host">;
	/** One line for the user. */
	readonly report: (message: string) => void;
}

const EPERM = 1n;
const EINVAL = 22n;
const ENOSYS = 38n;

export class IoUring {
	readonly #options: IoUringOptions;
	readonly #rings = new Rings();
	readonly #submissions: Submissions;
	/** What has been said of which process. */
	readonly #said = new Map<number, Set<string>>();
	readonly #handlers: ReadonlyMap<number, (stopped: StoppedCall, process: number) => void> = new Map([
		[IO_URING_SETUP, (stopped, process) => this.#setup(stopped, process)],
		[IO_URING_ENTER, (stopped, process) => this.#enter(stopped, process)],
		[IO_URING_REGISTER, (stopped, process) => this.#register(stopped, process)],
	]);

	constructor(options: IoUringOptions) {
		this.#options = options;
		this.#submissions = new Submissions(options);
	}

	/** A call that the filter has stopped. The task is resumed. */
	stopped(stopped: StoppedCall, process: number): void {
		const number = Number(BigInt.asIntN(32, stopped.registers.get("orig_rax")));
		const handle = this.#handlers.get(number);
		if (handle === undefined) resume(stopped.tid, 0);
		else handle(stopped, process);
	}

	exec(tid: number): void {
		this.#submissions.exec(tid);
		this.#rings.exec(tid);
		this.#said.delete(tid);
	}

	ended(tid: number): void {
		this.#submissions.ended(tid);
		this.#rings.ended(tid);
		this.#said.delete(tid);
	}

	/** The clock has been changed. Nobody but a ring's own processes can give a timeout of it another time. */
	step(): void {
		const now = hostRealtime();
		const hostTime = (deadline: Nanoseconds): Nanoseconds => this.#options.deadlines.hostTime(deadline, CLOCK_REALTIME);
		for (const { timeouts } of this.#rings.all()) {
			for (const process of timeouts.stale(now, hostTime)) {
				this.#say(
					process,
					"may wait by io_uring for times that it named before the clock was changed: these stay where they are",
				);
			}
		}
	}

	#setup(stopped: StoppedCall, process: number): void {
		const params = stopped.read(stopped.argument(1), PARAMS_SIZE);
		const refusal = this.#options.way === "refuse" ? ENOSYS : params && refusalOf(setupFlags(params));
		if (refusal !== undefined) return skip(stopped, -refusal);
		if (params === undefined) {
			resume(stopped.tid, 0);
			return;
		}
		this.#follow(stopped, (result) => {
			const filled = stopped.read(stopped.argument(1), PARAMS_SIZE);
			if (filled === undefined) return;
			const hasDescriptor = (setupFlags(filled) & IORING_SETUP_REGISTERED_FD_ONLY) === 0;
			if (hasDescriptor) this.#rings.add(process, result, readRingShape(filled));
			else this.#rings.addRegistered({ tid: stopped.tid, process }, result, readRingShape(filled));
		});
	}

	#register(stopped: StoppedCall, process: number): void {
		const operation = (stopped.int(1) & ~IORING_REGISTER_USE_REGISTERED_RING) >>> 0;
		// Shape and memory of the ring would be others.
		if (operation === IORING_REGISTER_RESIZE_RINGS) return skip(stopped, -EINVAL);
		this.#follow(stopped, (count) => {
			const slots = stopped.read(stopped.argument(2), count * RING_SLOT_SIZE);
			if (slots === undefined) return;
			const reader = new ByteReader(slots);
			for (let start = 0; start < slots.length; start += RING_SLOT_SIZE) {
				const index = reader.u32(start);
				const descriptor = reader.i32(start + RING_SLOT_SIZE / 2);
				if (operation === IORING_REGISTER_RING_FDS)
					this.#rings.register({ tid: stopped.tid, process }, index, descriptor);
				else this.#rings.unregister(stopped.tid, index);
			}
		});
	}

	#enter(stopped: StoppedCall, process: number): void {
		const { tid } = stopped;
		const name = stopped.int(0);
		const isIndex = (stopped.int(3) & IORING_ENTER_REGISTERED_RING) !== 0;
		const found = isIndex ? this.#rings.byIndex(tid, name) : this.#rings.byDescriptor({ tid, process }, name);
		if (typeof found === "object") return this.#submissions.submit(stopped, process, found);
		if (found === -Number(EPERM)) stopped.noteClosed();
		else if (found === undefined) {
			this.#say(
				process,
				"submits to an io_uring that was made or registered out of our sight: its timeouts on the wall clock are the host's",
			);
		}
		resume(tid, 0);
	}

	/** @param succeeded called with the result, at the end of a call that has one */
	#follow(stopped: StoppedCall, succeeded: (result: number) => void): void {
		const finished = (result: bigint): undefined => {
			if (result >= 0n) succeeded(Number(result));
		};
		this.#options.calls.follow(stopped, { isWait: false, finished });
	}

	/** Once for a process. */
	#say(process: number, what: string): void {
		const said = this.#said.get(process) ?? new Set();
		if (said.has(what)) return;
		this.#said.set(process, said.add(what));
		this.#options.report(`${programName(process)} (pid ${process}) ${what}`);
	}
}

const skip = (stopped: StoppedCall, result: bigint): void => {
	stopped.skip(result);
	resume(stopped.tid, 0);
};

/** With which error a ring is refused. A thread of the kernel reads what is submitted to one with SQPOLL. */
const refusalOf = (flags: number): bigint | undefined => {
	if ((flags & IORING_SETUP_SQPOLL) !== 0) return EPERM;
	if ((flags & ~IORING_SETUP_KNOWN) !== 0) return EINVAL;
	return areRingsTold() ? undefined : ENOSYS;
};
