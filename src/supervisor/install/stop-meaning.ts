/** What a stop of a process says about its install. */
import type { Registers } from "../../linux/registers.ts";
import * as kernel from "../../vdso/kernel-calls.ts";
import { frameAddress, type FrameNotes, NO_DESCRIPTOR, readFrame } from "./frame.ts";
import type { PendingInstall } from "./install.ts";
import type { StaleFile } from "./provided-files.ts";

export interface InstallFailure {
	readonly kind: "failed";
	readonly at: "open" | "map";
	readonly errno: number;
	readonly stale: StaleFile | undefined;
}

/** "over": the install has ended before; "other": something else happened while it is under way. */
export type StopMeaning = "over" | "other" | "done" | InstallFailure;

const ENOMEM = 12;

const isWithin = (offset: number, start: number, end: number): boolean => offset >= start && offset < end;

const staleFile = ({ kit }: PendingInstall, { image, descriptor }: FrameNotes, isMapped: boolean): StaleFile => ({
	address: isMapped ? image : undefined,
	length: kit.image.mappingLength,
	descriptor,
});

/** What a stop with these registers says. */
export const meaningOfStop = (tid: number, pending: PendingInstall, registers: Registers): StopMeaning => {
	const { bootstrap, image } = pending.kit;
	const rip = registers.get("rip");
	const inBootstrap = Number(rip - pending.bootstrap);
	const isStopOfBootstrap = bootstrap.stops.includes(inBootstrap);
	// When the program runs its stack may have taken the place of the frame: then this is not within the image either.
	const notes = readFrame(tid, frameAddress(pending), pending.kit);
	if (notes === undefined) return "over";
	const inImage = Number(rip - notes.image);
	if (!isStopOfBootstrap && !image.installerStops.includes(inImage)) {
		const isUnderWay =
			isWithin(inBootstrap, 0, bootstrap.code.length) || isWithin(inImage, image.installerOffset, image.installerEnd);
		return isUnderWay ? "other" : "over";
	}
	if (notes.result >= 0) return "done";
	const errno = -notes.result;
	if (errno === kernel.ESTALE) return { kind: "failed", at: "open", errno, stale: staleFile(pending, notes, true) };
	if (isStopOfBootstrap && notes.descriptor === NO_DESCRIPTOR)
		return { kind: "failed", at: "open", errno, stale: undefined };
	// What lacks memory lacks it for every file; anything else says that this file is not one to map, so it is not ours.
	if (isStopOfBootstrap && errno !== ENOMEM)
		return { kind: "failed", at: "open", errno, stale: staleFile(pending, notes, false) };
	return { kind: "failed", at: "map", errno, stale: undefined };
};

/** What a fault with these registers says: the file that stage 1 has mapped may be another, and empty. */
export const meaningOfFault = (tid: number, pending: PendingInstall, registers: Registers): StopMeaning => {
	const { bootstrap } = pending.kit;
	const inBootstrap = Number(registers.get("rip") - pending.bootstrap);
	if (!isWithin(inBootstrap, bootstrap.opened, bootstrap.code.length)) return meaningOfStop(tid, pending, registers);
	const notes = readFrame(tid, frameAddress(pending), pending.kit);
	if (notes === undefined) return "over";
	return { kind: "failed", at: "open", errno: kernel.ESTALE, stale: staleFile(pending, notes, true) };
};
