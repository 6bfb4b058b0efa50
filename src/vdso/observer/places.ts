/**
 * Counting and tracing in the image, for runs that ask for it; images of others have none of this.
 *
 *     count   every function begins with an addition to a counter of its slot (observation/layout.ts); of some calls that the
 *             supervisor chooses there is a record with the caller
 *     trace   every function is called by another, which writes a record of it with what it stored
 *
 * Behind the other pages of the image lie two private pages, with one word each, and the observation file:
 *
 *     image | link page | vvar page | key page (rw-) | home page (r--) | observation file (rw-, shared)
 *
 * The words are the key of the process and the address of its first slot.
 *
 * A forked child finds the key page empty (MADV_WIPEONFORK): its tags match no slot, and it takes a key of its own at its first
 * call, if the supervisor has not given it one by then. No code here makes a system call: a program may have forbidden itself all.
 */
import type { Assembler } from "../../asm/assembler.ts";
import { Label, type RipRelativeMemory, ripRelative } from "../../asm/operands.ts";
import { PAGE_SIZE } from "../../vvar/layout.ts";
import type { Observation, ObservationLayout } from "../../observation/layout.ts";

/** What a run wants to know of the calls of its processes. */
export interface ObservationRequest {
	readonly layout: ObservationLayout;
	/** Programs may read the base of FS (AT_HWCAP2), by which the supervisor knows their threads. */
	readonly hasFsBase: boolean;
	/** The functions that are traced, by name; undefined for all. */
	readonly traced?: ReadonlySet<string> | undefined;
}

export interface Observed extends ObservationRequest {
	readonly assembler: Assembler;
	readonly hasRdpid: boolean;
	readonly labels: {
		readonly keyPage: Label;
		readonly homePage: Label;
		readonly file: Label;
		/** Functions of the image. */
		readonly takeKey: Label;
		readonly findSlot: Label;
		readonly sample: Label;
		readonly record: Label;
	};
}

export const observe = (assembler: Assembler, request: ObservationRequest, hasRdpid: boolean): Observed => ({
	...request,
	assembler,
	hasRdpid,
	labels: {
		keyPage: new Label("key page"),
		homePage: new Label("home page"),
		file: new Label("observation file"),
		takeKey: new Label("take a key"),
		findSlot: new Label("find a slot"),
		sample: new Label("sample a caller"),
		record: new Label("record a call"),
	},
});

/** Where the pages begin, from the start of the image, when the first is at `start`. */
export interface ObservationPlaces {
	readonly keyPage: number;
	readonly homePage: number;
	readonly file: number;
	/** Behind the last one. */
	readonly end: number;
}

/** @param observed undefined when there are none */
export const placeObservation = (observed: Observed | undefined, start: number): ObservationPlaces => {
	const [homePage, file] = [start + PAGE_SIZE, start + 2 * PAGE_SIZE];
	return { keyPage: start, homePage, file, end: observed === undefined ? start : file + observed.layout.size };
};

/** The same, by label. */
export const observationLabels = (
	observed: Observed | undefined,
	start: number,
): readonly (readonly [Label, number])[] => {
	if (observed === undefined) return [];
	const { keyPage, homePage, file } = placeObservation(observed, start);
	const { labels } = observed;
	return [
		[labels.keyPage, keyPage],
		[labels.homePage, homePage],
		[labels.file, file],
	];
};

export const isKind = ({ layout }: Observed, observation: Observation): boolean => layout.observation === observation;

/** Whether calls of a function are traced. */
export const isTraced = (observed: Observed, name: string): boolean =>
	isKind(observed, "trace") && (observed.traced === undefined || observed.traced.has(name));

/** In 64-bit code. */
export const inFile = ({ labels }: Observed, offset: number): RipRelativeMemory => ripRelative(labels.file, offset);

/** Emits a function of the image that begins at the label. */
export type EmitBlock = (start: Label, emit: () => void) => void;

/** The functions that those of the image call for counting or tracing, by class of the code. */
export type EmitObserverFunction = Readonly<
	Record<"takeKey" | "record" | "findSlot" | "sample", (observed: Observed) => void>
>;

/** Emits those that the kind of observation needs. */
export const emitFunctions = (observed: Observed | undefined, block: EmitBlock, emit: EmitObserverFunction): void => {
	if (observed === undefined) return;
	const { labels } = observed;
	block(labels.takeKey, () => emit.takeKey(observed));
	if (isKind(observed, "trace")) return block(labels.record, () => emit.record(observed));
	block(labels.findSlot, () => emit.findSlot(observed));
	block(labels.sample, () => emit.sample(observed));
};
