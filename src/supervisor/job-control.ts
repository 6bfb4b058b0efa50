/**
 * Signals between the shell, us and the program.
 *
 * The program is in our process group, so what a terminal sends (^C, ^\, ^Z, hang-up) reaches it without us. We survive ^C and ^\
 * to tell how it ends, and ^Z to pass its signal on: it may handle or ignore it. What is sent to us alone (kill, timeout, an init system) goes on to the program.
 */
import { closeSync, openSync } from "node:fs";
import { constants } from "node:os";
import * as linux from "../linux/constants.ts";
import { syscallResult } from "../linux/ffi.ts";
import { ownPid } from "../linux/own-pid.ts";

/** Sent to one process only; a terminal's hang-up reaches the group through its leader, so it is passed on as well. */
const FORWARDED = ["SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGIO", "SIGXCPU"] as const;
/** A terminal sends these to the whole group. */
const FROM_TERMINAL = ["SIGINT", "SIGQUIT", "SIGTSTP"] as const;

/** Time for the rest of a job to stop, and for a stop to be taken back, before we stop too. */
const STOP_DELAY_MS = 20;
const foregroundGroup = new Int32Array(1);

/** We belong to the group that the controlling terminal listens to. */
const isInForeground = (): boolean => {
	let fd: number;
	try {
		fd = openSync("/dev/tty", "r");
	} catch {
		return false;
	}
	const result = syscallResult(linux.SYS_ioctl, fd, linux.TIOCGPGRP, foregroundGroup);
	closeSync(fd);
	return result >= 0 && foregroundGroup[0] === syscallResult(linux.SYS_getpgrp);
};

/**
 * Time in which a signal that was sent to us and to the program alike (kill to the group, an init system that ends every process of
 * a service) is seen to reach the program without us.
 */
const ECHO_MS = 20;

export interface SignalTargets {
	/** The processes that a signal is passed on to. */
	readonly pids: () => readonly number[];
	/** When the first process last got this signal, as performance.now() tells; 0 for never. */
	readonly lastDelivery: (signal: number) => number;
}

/** Passes signals to us on to the program, unless it gets them anyway. */
export const forwardSignals = ({ pids, lastDelivery }: SignalTargets): void => {
	const pass = (name: NodeJS.Signals): void => {
		const signal = constants.signals[name];
		const received = performance.now();
		setTimeout(() => {
			if (lastDelivery(signal) >= received - ECHO_MS) return;
			for (const pid of pids()) syscallResult(linux.SYS_kill, pid, signal);
		}, ECHO_MS);
	};
	for (const name of FORWARDED) process.on(name, () => pass(name));
	for (const name of FROM_TERMINAL) {
		process.on(name, () => {
			if (!isInForeground()) pass(name);
		});
	}
};

/**
 * Stops us with the program, as a shell expects of the job that it started: without this, a program that is stopped, or stops
 * itself (^Z in an editor), would leave the shell waiting. Only where a terminal's foreground is concerned: nobody else would wake us.
 */
export class JobStop {
	#timer: NodeJS.Timeout | undefined;

	/** The first process entered a group-stop. */
	programStopped(): void {
		this.#timer ??= setTimeout(() => {
			this.#timer = undefined;
			if (isInForeground()) stopAsTerminalDoes();
		}, STOP_DELAY_MS);
	}

	/** The first process left it. */
	programContinued(): void {
		clearTimeout(this.#timer);
		this.#timer = undefined;
	}
}

/** Takes the default action of SIGTSTP, and the listeners back when the shell continues us. */
const stopAsTerminalDoes = (): void => {
	const listeners = process.listeners("SIGTSTP");
	process.removeAllListeners("SIGTSTP");
	syscallResult(linux.SYS_kill, ownPid(), constants.signals.SIGTSTP);
	for (const listener of listeners) process.on("SIGTSTP", listener);
};
