/** What the functions of the 32-bit image do for counting and tracing: as ../../observer/hooks.ts. */
import { type BasedMemory, type Label, memory } from "../../../asm/operands.ts";
import { eax, ecx, edx, esp } from "../../../asm/registers.ts";
import { UNFINISHED } from "../../../observation/calls.ts";
import type { Hooked } from "../../observer/hooks.ts";
import { type EmitBlock, emitFunctions, isKind, isTraced, type Observed } from "../../observer/places.ts";
import type { Counter } from "../../observer/slots.ts";
import { labelsOf, WORD } from "../emission.ts";
import { emitRecord, emitSample, RECORDED } from "./records.ts";
import { emitCount, emitFindSlot, emitTakeKey } from "./slots.ts";

const nothing = (): void => {};

/** A call has begun; scratch are eax, ecx and edx. @returns what emits the rest, out of line and outside of the frame */
export const emitCalled = ({ observed }: Hooked, counter: Counter): (() => void) =>
	observed !== undefined && isKind(observed, "count") ? emitCount(observed, counter) : nothing;

/** How many arguments the functions have that are traced with their results. */
const ARGUMENTS: Readonly<Record<string, number>> = {
	clock_gettime: 2,
	clock_gettime64: 2,
	clock_getres: 2,
	gettimeofday: 2,
	time: 1,
	getcpu: 3,
};
const MAX_ARGUMENTS = 3;

/** The functions that are traced with their results. Of others nobody knows the arguments: they are only seen to begin. */
export const isTracedWhole = ({ observed }: Hooked, name: string): boolean =>
	observed !== undefined && isTraced(observed, name) && name in ARGUMENTS;

/** What stands on the stack in front of the call of emitRecord. */
const recorded = (field: "first" | "second" | "arguments" | "result", word = 0): BasedMemory =>
	memory(esp, RECORDED[field] - WORD + word * WORD);

/** A field of two words := eax, with its sign above; edx is lost. */
const emitSigned = ({ assembler }: Observed, field: "first" | "second" | "result"): void => {
	assembler.mov(edx, eax);
	assembler.sar(edx, 8 * WORD - 1);
	assembler.mov(recorded(field), eax);
	assembler.mov(recorded(field, 1), edx);
};

/** What a call has stored, as far as it has; eax is its result. eax, ecx and edx are lost. */
const emitStored = (observed: Observed, name: string): void => {
	const { assembler } = observed;
	const [none, noCpu] = labelsOf(assembler, "nothing stored", "no cpu");
	const fields = ["first", "second"] as const;
	if (name === "getcpu") {
		fields.forEach((field, index) => {
			const place = index === 0 ? noCpu : none;
			assembler.mov(ecx, recorded("arguments", index));
			assembler.test(ecx, ecx);
			assembler.jcc("z", place);
			assembler.mov(eax, memory(ecx));
			assembler.mov(recorded(field), eax);
			if (place === noCpu) assembler.bind(noCpu);
		});
	} else if (name !== "time") {
		assembler.test(eax, eax);
		assembler.jcc("nz", none);
		assembler.mov(ecx, recorded("arguments", name === "gettimeofday" ? 0 : 1));
		assembler.test(ecx, ecx);
		assembler.jcc("z", none);
		fields.forEach((field, index) => {
			if (!name.endsWith("64")) {
				assembler.mov(eax, memory(ecx, index * WORD));
				return emitSigned(observed, field);
			}
			for (const word of [0, 1]) {
				assembler.mov(eax, memory(ecx, (2 * index + word) * WORD));
				assembler.mov(recorded(field, word), eax);
			}
		});
	}
	assembler.bind(none);
};

/** A function that calls another, which has its code, and records that. */
export const emitTraced = ({ observed }: Hooked, name: string, { call, body }: { call: number; body: Label }): void => {
	if (observed === undefined) return;
	const { assembler, labels } = observed;
	const count = ARGUMENTS[name] ?? 0;
	let depth = WORD;
	const push = (operand: Parameters<typeof assembler.push>[0]): void => {
		assembler.push(operand);
		depth += WORD;
		assembler.cfaOffset(depth);
	};
	const drop = (bytes: number): void => {
		assembler.add(esp, bytes);
		depth -= bytes;
		assembler.cfaOffset(depth);
	};
	const argument = (index: number): BasedMemory => memory(esp, depth + index * WORD);
	const pushArguments = (): void => {
		for (let index = count - 1; index >= 0; index--) push(argument(index));
	};
	assembler.endbr();
	// Copies, since a function may write to its own.
	pushArguments();
	assembler.call(body);
	drop(count * WORD);
	assembler.mov(edx, eax);
	assembler.sar(edx, 8 * WORD - 1);
	push(edx);
	push(eax);
	for (let index = count; index < MAX_ARGUMENTS; index++) push(0);
	pushArguments();
	for (let word = 0; word < 4; word++) push(0);
	emitStored(observed, name);
	assembler.mov(eax, call);
	assembler.call(labels.record);
	assembler.mov(eax, recorded("result"));
	drop(depth - WORD);
	assembler.ret();
};

/** Records a call in front of a function whose result nobody sees. eax, ecx and edx are lost. */
export const emitEntered = ({ observed }: Hooked, name: string, call: number): void => {
	if (observed === undefined || !isTraced(observed, name)) return;
	const { assembler, labels } = observed;
	const words = RECORDED.returnAddress / WORD - 1;
	for (let word = 0; word < words; word++) {
		assembler.push(0);
		assembler.cfaOffset((word + 2) * WORD);
	}
	assembler.mov(eax, call + UNFINISHED);
	assembler.call(labels.record);
	assembler.add(esp, words * WORD);
	assembler.cfaOffset(WORD);
};

/** The functions of the image that the others call for it. @param block emits a function that begins at the label */
export const emitObserverFunctions = ({ observed }: Hooked, block: EmitBlock): void =>
	emitFunctions(observed, block, {
		takeKey: emitTakeKey,
		record: emitRecord,
		findSlot: emitFindSlot,
		sample: emitSample,
	});
