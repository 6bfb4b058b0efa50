/**
 * The vvar page: one table of fields gives the offsets to the pusher and to the code generator, so they cannot disagree.
 *
 * Everything that a reader needs hangs on one aligned 8-byte atom, the wall word:
 *
 *      63                             30 29                        0
 *     |        seconds (signed)         |  nanoseconds < 10^9       |   the wall clock is the host's plus this
 *     |        generation               |  0x3fffffff               |   it is in slot (generation & 1)
 *
 * An offset within +-272 years is the word itself: half a change cannot be seen. Everything wider (far offsets, a frozen
 * wall) is written to the slot that no reader uses, and then the word is stored. A reader loads the word, the slot, and the
 * word again; it starts over only when the word has changed, so a pusher that is paused in the middle is never waited for.
 */
export const PAGE_SIZE = 4096;

/** "vsysvvar" in ASCII: says that a page is ours. */
export const MAGIC = 0x7261_7676_7379_7376n;
/** Changes with every change of this table. */
export const VERSION = 1;

/**
 * The page. The wall word has a cache line of its own. `bootId` says for which boot of the machine a page in a file was made,
 * `generation` is the last one that a pusher has taken, also one that was killed before its word was stored.
 */
export const PAGE = { magic: 0, version: 8, bootId: 16, generation: 32, wall: 64, slots: 128 } as const;

/** A slot. `seconds` and `nanoseconds` are an offset from the host's clock or, when frozen, the instant itself. */
export const SLOT = { kind: 0, seconds: 8, nanoseconds: 16, taiSeconds: 24, size: 64 } as const;
export const SLOT_COUNT = 2;

export const SLOT_KIND_OFFSET = 0;
export const SLOT_KIND_FROZEN = 1;

export const WALL_SECONDS_SHIFT = 30;
export const WALL_NANOSECONDS_MASK = 0x3fff_ffff;
/** The nanoseconds field of a word that names a slot. */
export const WALL_IN_SLOT: number = WALL_NANOSECONDS_MASK;
