/**
 * struct timex: `modes`, then one word for each field; ints lie in the lower half of theirs (include/uapi/linux/timex.h, and
 * struct old_timex32 in include/linux/time32.h, v6.18).
 */
import { ByteReader, setU32 } from "../bytes.ts";
import type { TimeLayout } from "./time-calls.ts";
import { readWord, wordSize, writeWord } from "./time-structures.ts";

/** Words behind `modes`. */
const FIELDS = [
	"offset",
	"freq",
	"maxerror",
	"esterror",
	"status",
	"constant",
	"precision",
	"tolerance",
	"timeSeconds",
	"timeFraction",
	"tick",
	"ppsfreq",
	"jitter",
	"shift",
	"stabil",
	"jitcnt",
	"calcnt",
	"errcnt",
	"stbcnt",
	"tai",
] as const;
export type TimexField = (typeof FIELDS)[number];

export const ADJ_OFFSET = 0x0001;
export const ADJ_SETOFFSET = 0x0100;
export const ADJ_MICRO = 0x1000;
export const ADJ_NANO = 0x2000;
export const ADJ_ADJTIME = 0x8000;
export const ADJ_OFFSET_SINGLESHOT = 0x8001;
export const ADJ_OFFSET_SS_READ = 0xa001;
/** Of `status`: the time field has nanoseconds. */
export const STA_NANO = 0x2000n;

export const timexSize = (layout: TimeLayout): number => (layout === "32" ? 128 : 208);

export class Timex {
	readonly bytes: Uint8Array;
	readonly #layout: TimeLayout;

	constructor(layout: TimeLayout, bytes: Uint8Array = new Uint8Array(timexSize(layout))) {
		this.#layout = layout;
		this.bytes = bytes;
	}

	get modes(): number {
		return new ByteReader(this.bytes).u32(0);
	}

	set modes(modes: number) {
		setU32(this.bytes, 0, modes);
	}

	get(field: TimexField): bigint {
		return readWord(this.bytes, this.#offset(field), this.#layout);
	}

	set(field: TimexField, value: bigint): void {
		writeWord(this.bytes, this.#offset(field), this.#layout, value);
	}

	/** Takes every field of another, whatever its layout, but not its modes. */
	take(other: Timex): void {
		for (const field of FIELDS) this.set(field, other.get(field));
	}

	#offset(field: TimexField): number {
		return wordSize(this.#layout) * (FIELDS.indexOf(field) + 1);
	}
}
