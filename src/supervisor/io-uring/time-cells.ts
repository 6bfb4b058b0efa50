/**
 * Where the host's times stand that the kernel is to read instead of the program's: in what the link page has free behind its words.
 *
 * The program cannot write there, nothing of its own is there, and every thread of the process sees it. When more times are needed at
 * once than it has room for, they go below the stack of the thread that makes the call, as those of other waits do.
 */
import { pokeMemory } from "../../linux/remote-memory.ts";
import { timespecBytes, timespecSize } from "../../syscalls/time-structures.ts";
import type { Nanoseconds } from "../../units.ts";
import type { InstalledImage } from "../install/kits.ts";
import { scratchBelow } from "../time-calls/scratch-call.ts";
import type { StoppedCall } from "../time-calls/stopped-call.ts";

/** struct __kernel_timespec, which is the same in processes of either class. */
const CELL_SIZE = timespecSize("64");

/** The addresses of the cells that a link page has. */
const cellsOf = ({ address, kit }: InstalledImage): readonly bigint[] => {
	const { start, end } = kit.image.linkPageRest;
	return Array.from(
		{ length: Math.floor((end - start) / CELL_SIZE) },
		(_, number) => address + BigInt(start + number * CELL_SIZE),
	);
};

/**
 * Writes times where a stopped task can read them.
 *
 * @param used cells that others of its process need
 * @returns their addresses; undefined when there is no memory for them
 */
export const placeTimes = (
	stopped: StoppedCall,
	times: readonly Nanoseconds[],
	{ installed, used }: { readonly installed: InstalledImage | undefined; readonly used: ReadonlySet<bigint> },
): readonly bigint[] | undefined => {
	const cells = installed === undefined ? [] : cellsOf(installed).filter((cell) => !used.has(cell));
	if (cells.length >= times.length) {
		const places = cells.slice(0, times.length);
		const isWritten = (cell: bigint, number: number): boolean =>
			pokeMemory(stopped.tid, cell, timespecBytes("64", times[number] as Nanoseconds)) === 0;
		if (places.every(isWritten)) return places;
	}
	const start = scratchBelow(stopped.registers.get("rsp"), times.length * CELL_SIZE);
	const bytes = new Uint8Array(times.length * CELL_SIZE);
	for (const [number, time] of times.entries()) bytes.set(timespecBytes("64", time), number * CELL_SIZE);
	if (!stopped.write(start, bytes)) return undefined;
	return times.map((_, number) => start + BigInt(number * CELL_SIZE));
};
