/** What a call to the page is answered with: the clock of the run, and the processor and memory of the calling task. */
import { readdirSync } from "node:fs";
import { hostCoarseRealtime, hostRealtime, hostTimezone } from "../../linux/host-vdso.ts";
import { readStatField } from "../../linux/proc-file.ts";
import { writeMemory } from "../../linux/remote-memory.ts";
import type { CallWorld } from "../../vsyscall/emulate.ts";
import type { RunClock } from "../run-clock.ts";

/** `processor` of proc_pid_stat(5). */
const PROCESSOR_FIELD = 39;

const processorOf = (tid: number): number => Number(readStatField(tid, PROCESSOR_FIELD) ?? 0);

const nodes = new Map<number, number>();

/** The NUMA node of a processor; 0 where the host does not tell. */
const nodeOf = (cpu: number): number => {
	let node = nodes.get(cpu);
	if (node === undefined) {
		node = 0;
		try {
			const link = readdirSync(`/sys/devices/system/cpu/cpu${cpu}`).find((name) => /^node\d+$/.test(name));
			if (link !== undefined) node = Number(link.slice("node".length));
		} catch {
			// No sysfs.
		}
		nodes.set(cpu, node);
	}
	return node;
};

/** @param tid a stopped task: the processor is the one that it ran on last */
export const callWorld = (tid: number, clock: Pick<RunClock, "read">): CallWorld => ({
	wall: () => clock.read(hostRealtime()),
	coarseWall: () => clock.read(hostCoarseRealtime()),
	timezone: hostTimezone,
	cpu: () => {
		const cpu = processorOf(tid);
		return { cpu, node: nodeOf(cpu) };
	},
	write: (address, bytes) => writeMemory(tid, address, bytes) === bytes.length,
});
