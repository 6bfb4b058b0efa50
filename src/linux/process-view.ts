/** A process as one that may look into it sees it: nothing is stopped, nothing is changed. */
import { readFileSync, statSync } from "node:fs";
import type { AddressSpace, Mapping } from "../inspect/address-space.ts";
import { type Auxv, parseAuxv } from "../inspect/auxv.ts";
import { foreignProc, hasEnded, noProcess, notAllowed } from "../inspect/inspect-error.ts";
import { parseMaps } from "./maps.ts";
import { isOwnProc, readCommand, readStartTime, readStatField, readStatusField } from "./proc-file.ts";
import { processMemory } from "./process-memory.ts";

export interface ProcessView {
	readonly pid: number;
	/** The words of its command line; its short name when it has none. */
	readonly command: readonly string[];
	/** undefined of kernel threads and of processes that have ended. */
	readonly auxv: Auxv | undefined;
	readonly mappings: readonly Mapping[];
	readonly memory: AddressSpace;
	/** Why it has no memory. */
	readonly emptiness: "kernel thread" | "ended" | undefined;
	/** The process that traces it. */
	readonly tracer: { readonly pid: number; readonly name: string } | undefined;
}

const STATE_FIELD = 3;
const FLAGS_FIELD = 9;
/** include/linux/sched.h. */
const PF_KTHREAD = 0x20_0000;

const codeOf = (error: unknown): unknown => (error instanceof Error && "code" in error ? error.code : undefined);

const refusal = (pid: number): string => {
	if (process.geteuid?.() === 0)
		return "the kernel does not let root either (a security module, or another user namespace)";
	const uid = statSync(`/proc/${pid}`, { throwIfNoEntry: false })?.uid;
	if (uid === undefined || uid === process.geteuid?.()) return "it has closed its memory; root may look";
	return `it belongs to user ${uid}; look as that user or as root`;
};

/** A file of /proc/PID that only those may read who may look into the process. */
const readGuarded = (pid: number, name: string): Uint8Array => {
	try {
		return readFileSync(`/proc/${pid}/${name}`);
	} catch (error) {
		const code = codeOf(error);
		if (code === "EACCES" || code === "EPERM") throw notAllowed(pid, refusal(pid));
		// ESRCH: it has no memory any more, though nobody has waited for it.
		throw code === "ENOENT" || code === "ESRCH" ? hasEnded(pid) : error;
	}
};

const emptinessOf = (pid: number): ProcessView["emptiness"] => {
	if ((Number(readStatField(pid, FLAGS_FIELD) ?? 0) & PF_KTHREAD) !== 0) return "kernel thread";
	const state = readStatField(pid, STATE_FIELD);
	return state === "Z" || state === "X" ? "ended" : undefined;
};

const tracerOf = (pid: number): ProcessView["tracer"] => {
	const tracer = Number(readStatusField(pid, "TracerPid") ?? 0);
	return tracer === 0 ? undefined : { pid: tracer, name: readStatusField(tracer, "Name") ?? "" };
};

/**
 * Looks at a process, calls `use` with what it has seen, and makes sure that it was one process all the time.
 *
 * @throws {VsyscallError} ERR_VSYSCALL_INSPECT when there is none, it ends meanwhile, or may not be looked into.
 */
export const lookAtProcess = <Result>(pid: number, use: (view: ProcessView) => Result): Result => {
	if (!isOwnProc()) throw foreignProc();
	const startTime = readStartTime(pid);
	if (startTime === undefined) throw noProcess(pid);
	const emptiness = emptinessOf(pid);
	const view = { pid, command: readCommand(pid), emptiness, tracer: tracerOf(pid) };
	const nothing = { auxv: undefined, mappings: [], memory: processMemory(pid) };
	if (emptiness !== undefined) return use({ ...view, ...nothing });
	const auxv = readGuarded(pid, "auxv");
	const mappings = parseMaps(new TextDecoder().decode(readGuarded(pid, "maps")));
	const memory = processMemory(pid);
	const result = use({ ...view, auxv: parseAuxv(auxv), mappings, memory });
	if (readStartTime(pid) !== startTime || emptinessOf(pid) !== undefined) throw hasEnded(pid);
	return result;
};
