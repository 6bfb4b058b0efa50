/** Counting or tracing as a part of a run: the file first, which the image is made for; then the observer; looks at it, until the end. */
import * as linux from "../../linux/constants.ts";
import { ownAuxv } from "../../linux/ffi.ts";
import type { Observation } from "../../observation/layout.ts";
import type { Image } from "../../vdso/image.ts";
import type { ObservationRequest } from "../../vdso/observer/places.ts";
import { ObservationFile } from "./observation-file.ts";
import { Observer, type StoppedObservation } from "./observer.ts";

export interface ObservationOptions {
	readonly observation: Observation;
	/** The functions that are traced, by name; undefined for all. */
	readonly traced?: ReadonlySet<string> | undefined;
	/** Told before the program starts. */
	readonly begun: (observer: Observer) => void;
	/** Told of every call that the supervisor has answered, or let pass. */
	readonly stopped: (call: StoppedObservation) => void;
	/** Told of every thread that was made, before its first instruction, with the base of its FS, of a 32-bit one of GS. */
	readonly threadMade: (tid: number, base: bigint) => void;
	/** Told of every task that is about to exit, while it still has its memory. */
	readonly exits: (tid: number) => void;
	/** Called every `lookMs` while the run lasts, and when it is over. */
	readonly look: (isEnd: boolean) => void;
	readonly lookMs: number;
}

/** AT_HWCAP2: arch/x86/include/uapi/asm/hwcap2.h. */
const HWCAP2_FSGSBASE = 2n;

export class ObservedRun {
	readonly #options: ObservationOptions;
	readonly #file: ObservationFile;

	/** @throws {SyscallError} when there is no descriptor or no memory left. */
	constructor(options: ObservationOptions) {
		this.#options = options;
		this.#file = new ObservationFile(options.observation);
	}

	/** What the image is to have. */
	get request(): ObservationRequest {
		const hasFsBase = (ownAuxv(linux.AT_HWCAP2) & HWCAP2_FSGSBASE) !== 0n;
		return { layout: this.#file.layout, hasFsBase, traced: this.#options.traced };
	}

	/** Descriptors of ours that processes must not inherit. */
	get descriptors(): readonly number[] {
		return [this.#file.fd];
	}

	/** @returns the observer, and what ends the looks with a last one */
	begin(image: Image): { readonly observer: Observer; readonly end: () => void } {
		const { look, lookMs } = this.#options;
		const observer = new Observer({ ...this.#options, file: this.#file, image });
		this.#options.begun(observer);
		const timer = setInterval(() => look(false), lookMs);
		const end = (): void => {
			clearInterval(timer);
			look(true);
		};
		return { observer, end };
	}
}
