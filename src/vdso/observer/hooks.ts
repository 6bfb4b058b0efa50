/** What the functions of the image do for counting and tracing: nothing in a run that wants neither. */
import { type Label, memory } from "../../asm/operands.ts";
import { eax, ecx, edx, r8, r8d, r9, r10d, rcx, rdi, rdx, rsi, rsp } from "../../asm/registers.ts";
import { CALL, UNFINISHED } from "../../observation/calls.ts";
import { VSYSCALLS, type VsyscallNumber } from "../../vsyscall/page.ts";
import { type EmitBlock, emitFunctions, isKind, isTraced, type Observed } from "./places.ts";
import { emitRecord, emitSample } from "./records.ts";
import { type Counter, emitCount, emitFindSlot, emitTakeKey } from "./slots.ts";

const WORD = 8;
const nothing = (): void => {};

export interface Hooked {
	readonly observed: Observed | undefined;
}

/**
 * A call has begun; scratch are rax, r10 and r11.
 *
 * @param frame bytes from the stack pointer to the caller's
 * @returns what emits the rest, out of line
 */
export const emitCalled = ({ observed }: Hooked, counter: Counter, frame: number = WORD): (() => void) =>
	observed !== undefined && isKind(observed, "count") ? emitCount(observed, counter, frame) : nothing;

/** rdx, rcx := what a function has stored, or 0; rax is its result, rdi and rsi its arguments. */
const emitStored = ({ assembler }: Observed, name: string): void => {
	const [none, noCpu] = [assembler.label("nothing stored"), assembler.label("no cpu")];
	assembler.xor(edx, edx);
	assembler.xor(ecx, ecx);
	const isTime = name === "gettimeofday";
	const place = isTime ? rdi : rsi;
	if (isTime || name === "clock_gettime" || name === "clock_getres") {
		assembler.test(eax, eax);
		assembler.jcc("nz", none);
		assembler.test(place, place);
		assembler.jcc("z", none);
		assembler.mov(rdx, memory(place));
		assembler.mov(rcx, memory(place, WORD));
	}
	if (name === "getcpu") {
		assembler.test(rdi, rdi);
		assembler.jcc("z", noCpu);
		assembler.mov(edx, memory(rdi));
		assembler.bind(noCpu);
		assembler.test(rsi, rsi);
		assembler.jcc("z", none);
		assembler.mov(ecx, memory(rsi));
	}
	assembler.bind(none);
};

/** The functions that are traced with their results. Others may have arguments on the stack: they are only seen to begin. */
export const isTracedWhole = ({ observed }: Hooked, name: string): boolean =>
	observed !== undefined &&
	isTraced(observed, name) &&
	["clock_gettime", "gettimeofday", "time", "getcpu", "clock_getres", "getrandom"].includes(name);

/** A function that calls another, which has its code, and records that. */
export const emitTraced = ({ observed }: Hooked, name: string, { call, body }: { call: number; body: Label }): void => {
	if (observed === undefined) return;
	const { assembler, labels } = observed;
	assembler.endbr();
	[rdi, rsi, rdx].forEach((register, index) => {
		assembler.push(register);
		assembler.cfaOffset((index + 2) * WORD);
	});
	assembler.call(body);
	[r8, rsi, rdi].forEach((register, index) => {
		assembler.pop(register);
		assembler.cfaOffset((3 - index) * WORD);
	});
	assembler.mov(r9, memory(rsp));
	emitStored(observed, name);
	assembler.mov(r10d, call);
	assembler.call(labels.record);
	assembler.ret();
};

/** Records a call in front of a function whose result nobody sees. Keeps every register but r10 and r11. */
export const emitEntered = ({ observed }: Hooked, name: string, call: number): void => {
	if (observed === undefined || !isTraced(observed, name)) return;
	const { assembler, labels } = observed;
	const kept = [rdx, rcx, r8, r9] as const;
	kept.forEach((register, index) => {
		assembler.push(register);
		assembler.cfaOffset((index + 2) * WORD);
	});
	assembler.mov(r8, rdx);
	assembler.mov(r9, memory(rsp, kept.length * WORD));
	assembler.mov(r10d, call + UNFINISHED);
	assembler.call(labels.record);
	kept.toReversed().forEach((register, index) => {
		assembler.pop(register);
		assembler.cfaOffset((kept.length - index) * WORD);
	});
};

/** The end of an entry of the page: rax is the result, and every other register but rdi and rsi is scratch. */
export const emitEntryLeft = ({ observed }: Hooked, number: VsyscallNumber, returnAddress: number): void => {
	const { name } = VSYSCALLS[number];
	if (observed === undefined || !isTraced(observed, name)) return;
	const { assembler, labels } = observed;
	emitStored(observed, name);
	assembler.xor(r8d, r8d);
	assembler.mov(r9, memory(rsp, returnAddress));
	assembler.mov(r10d, CALL.page + number);
	assembler.call(labels.record);
};

/** The functions of the image that the others call for it. @param block emits a function that begins at the label */
export const emitObserverFunctions = ({ observed }: Hooked, block: EmitBlock): void =>
	emitFunctions(observed, block, {
		takeKey: emitTakeKey,
		record: emitRecord,
		findSlot: emitFindSlot,
		sample: emitSample,
	});
