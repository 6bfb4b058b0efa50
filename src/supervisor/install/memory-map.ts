/**
 * The kernel's notes about a process's memory, as prctl(PR_SET_MM, PR_SET_MM_MAP) wants them back.
 *
 * The call replaces mm->saved_auxv, which is what /proc/PID/auxv, gdb and core files show; all other fields must be handed over
 * unchanged. They stand in /proc/PID/stat (proc_pid_stat(5), fields 26 to 28 and 45 to 51).
 */
import { setU32, setU64 } from "../../bytes.ts";
import { readProcFile } from "../../linux/proc-file.ts";
import { PRCTL_MM_MAP_SIZE } from "../../vdso/kernel-calls.ts";

/** Offsets in struct prctl_mm_map (uapi/linux/prctl.h) with the field of /proc/PID/stat that fills each. */
const FIELDS: readonly (readonly [offset: number, statField: number])[] = [
	[0, 26], // start_code
	[8, 27], // end_code
	[16, 45], // start_data
	[24, 46], // end_data
	[32, 47], // start_brk
	[40, 47], // brk: at an exec stop nothing has been allocated yet
	[48, 28], // start_stack
	[56, 48], // arg_start
	[64, 49], // arg_end
	[72, 50], // env_start
	[80, 51], // env_end
];
const AUXV = 88;
const AUXV_SIZE = 96;
const EXE_FD = 100;

const FIRST_FIELD = 3;
const LAST_FIELD = 51;
const SPACE = 0x20;
const ZERO = 0x30;
const CLOSING_PARENTHESIS = 0x29;

/** Field n of /proc/PID/stat at index n. Addresses have 47 bits, so a number holds them. */
const values = new Float64Array(LAST_FIELD + 1);

const parseStat = (stat: Uint8Array): void => {
	values.fill(0);
	// The name of the program stands in parentheses and may hold anything; field 3, a letter, follows the last one.
	let index = stat.lastIndexOf(CLOSING_PARENTHESIS) + 2;
	for (let field = FIRST_FIELD; field <= LAST_FIELD && index < stat.length; field++) {
		let value = 0;
		for (; index < stat.length && stat[index] !== SPACE; index++) value = value * 10 + (stat[index] ?? ZERO) - ZERO;
		values[field] = value;
		index++;
	}
};

/**
 * @param tid a process in its exec stop
 * @param auxv address and size in bytes of the auxiliary vector on its stack
 * @returns undefined when /proc does not tell (not mounted, or a program that we may not look into)
 */
export const describeMemory = (tid: number, auxv: { address: bigint; size: number }): Uint8Array | undefined => {
	const stat = readProcFile(tid, "stat");
	if (stat === undefined) return undefined;
	parseStat(stat);
	const map = new Uint8Array(PRCTL_MM_MAP_SIZE);
	for (const [offset, statField] of FIELDS) {
		const value = values[statField] ?? 0;
		if (value <= 0) return undefined;
		setU64(map, offset, BigInt(value));
	}
	setU64(map, AUXV, auxv.address);
	setU32(map, AUXV_SIZE, auxv.size);
	setU32(map, EXE_FD, -1);
	return map;
};
