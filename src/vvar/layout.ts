/**
 * The vvar page: one table of fields gives the offsets to the pusher and to the code generator, so they cannot disagree.
 *
 * Everything that a reader needs hangs on one aligned 8-byte atom, the wall word:
 *
 *      63                             30 29                        0
 *     |        seconds (signed)         |  nanoseconds < 10^9       |   the wall clock is the host's plus this
 *     |        generation               |  0x3fffffff               |   it is in slot (generation & 1)
 *     |        generation               |  0x3ffffffe               |   it is there, and drifts along a line
 *
 * An offset within +-272 years is the word itself: half a change cannot be seen. Everything else (far offsets, a wall that
 * stands, drifts or steps) is written to the slot that no reader uses, and then the word is stored. A reader loads the word, the slot, and the
 * word again; it starts over only when the word has changed, so a pusher that is paused in the middle is never waited for.
 *
 * 32-bit code loads the word in halves. `pushes` counts the pushes, each in front of its other stores, so between two loads of it that
 * agree the word has changed once at most: then a half that is the same before and behind the other half belongs to it. By the same
 * count the slot that it names is whole, since the push that fills that again has been counted.
 */
export const PAGE_SIZE = 4096;

/** "vsysvvar" in ASCII: says that a page is ours. */
export const MAGIC = 0x7261_7676_7379_7376n;
/** Changes with every change of this table. */
export const VERSION = 4;

/**
 * The page. The wall word and `pushes` (u32) have a cache line of their own; `generation` and `taiSeconds` are the pusher's notes, so that another
 * process can push after it; `bootId` says for which boot of the machine a page in a file was made. No reader looks at them.
 */
export const PAGE = {
	magic: 0,
	version: 8,
	generation: 16,
	taiSeconds: 24,
	bootId: 32,
	wall: 64,
	pushes: 72,
	slots: 128,
	lines: 256,
} as const;

/**
 * A slot. With h for the host's clock and a for `anchor` (both in nanoseconds), and v for `seconds` and `nanoseconds`, the wall is
 *
 *     offset   h + v
 *     frozen   v
 *     drift    v + (h - a) * (2^RATE_SHIFT + rate) >> RATE_SHIFT      rate is signed, |rate| < 2^40; the shift rounds down
 *     trap     what the system call says
 *
 * A reader that knows of h more than whole nanoseconds drifts with all of it, and rounds down at the end.
 * TAI: of an offset the host's TAI + v, else the wall + `taiSeconds`.
 */
export const SLOT = {
	kind: 0,
	seconds: 8,
	nanoseconds: 16,
	taiSeconds: 24,
	anchorSeconds: 32,
	anchorNanoseconds: 40,
	rate: 48,
	size: 64,
} as const;
export const SLOT_COUNT = 2;

/** The line of a slot whose wall drifts along one (drift-line.ts), as many bytes apart as slots are. */
export const LINE = { factor: 0, scaledRate: 8, seconds: 16, fraction: 24, rest: 32, size: 64 } as const;

/** `seconds` and `nanoseconds` are added to the host's clock. */
export const SLOT_KIND_OFFSET = 0;
/** The wall stands at `seconds` and `nanoseconds`. */
export const SLOT_KIND_FROZEN = 1;
export const SLOT_KIND_DRIFT = 2;
/** The functions make their system calls, with nothing in the third argument, and the supervisor answers. */
export const SLOT_KIND_TRAP = 3;
export const RATE_SHIFT = 40;

export const WALL_SECONDS_SHIFT = 30;
export const WALL_NANOSECONDS_MASK = 0x3fff_ffff;
/** The nanoseconds field of a word that names a slot. */
export const WALL_IN_SLOT: number = WALL_NANOSECONDS_MASK;
/** The same, of a slot whose wall drifts along a line: what has to be computed then is known before the slot is read. */
export const WALL_ON_LINE: number = WALL_IN_SLOT - 1;
