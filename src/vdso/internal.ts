/** Functions of the image that only its other functions call: what is long and rare. They have frame descriptions and no names. */
import { Label } from "../asm/operands.ts";
import { emitDrifting } from "./drift.ts";
import { CLOCK_REALTIME, CLOCK_REALTIME_COARSE, CLOCK_TAI, WALL_CLOCKS, type WallClockId } from "./host.ts";
import { emitAskHost } from "./host-clock.ts";
import type { Emission } from "./wall.ts";

export interface InternalFunctions {
	readonly askHost: Label;
	/** The drifting wall of a wall clock, from a time of the host's. */
	readonly drifting: Readonly<Record<WallClockId, Label>>;
}

export const internalFunctions = (): InternalFunctions => ({
	askHost: new Label("ask host"),
	drifting: {
		[CLOCK_REALTIME]: new Label("drifting realtime"),
		[CLOCK_TAI]: new Label("drifting tai"),
		[CLOCK_REALTIME_COARSE]: new Label("drifting coarse"),
	},
});

/** @param block emits a function of the image that begins at the label */
export const emitInternalFunctions = (emission: Emission, block: (start: Label, emit: () => void) => void): void => {
	const { askHost, drifting } = emission.internal;
	block(askHost, () => emitAskHost(emission));
	for (const clock of WALL_CLOCKS) block(drifting[clock], () => emitDrifting(emission, clock));
};
