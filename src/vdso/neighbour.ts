/**
 * The host's image behind ours, in 32-bit processes where there is room for it:
 *
 *     image | link page | vvar page | the host's data pages | the host's image
 *
 * Every fast system call of a 32-bit process returns into the host's __kernel_vsyscall, so a thread that waits in one stands there.
 * Unwinders and debuggers know one object as the vDSO, ours. When the distance is the same in every process, ours can claim the pages up
 * to the end of the host's and describe the frame of that function, and a stack is followed through it as natively.
 */
import type { FrameNote, FrameRule } from "../asm/code.ts";
import { ebp, ecx, edx, type Register } from "../asm/registers.ts";
import type { MappedBehind } from "../elf/shared-object.ts";

export interface HostNeighbour {
	/** From the start of the host's data pages to the start of its image, in bytes. */
	readonly dataSize: number;
	/** The host's image, whole pages. */
	readonly bytes: Uint8Array;
	/** Offset of its __kernel_vsyscall. */
	readonly kernelVsyscall: number;
}

const WORD = 4;
const PUSHES: ReadonlyMap<number, Register> = new Map([
	[0x51, ecx],
	[0x52, edx],
	[0x55, ebp],
]);
const POPS: ReadonlyMap<number, Register> = new Map([
	[0x59, ecx],
	[0x5a, edx],
	[0x5d, ebp],
]);
const RET = 0xc3;
/** The other instructions that stand there: mov ebp, ecx and mov ebp, esp; syscall, sysenter; int 0x80; NOPs of one and three bytes. */
const OTHERS: readonly (readonly number[])[] = [
	[0x89, 0xcd],
	[0x89, 0xe5],
	[0x0f, 0x05],
	[0x0f, 0x34],
	[0xcd, 0x80],
	[0x90],
	[0x0f, 0x1f, 0x00],
];

interface Frame {
	readonly length: number;
	readonly rules: readonly FrameNote[];
}

/** The frame of a __kernel_vsyscall; undefined when it is not made of what has stood there up to Linux 7.3. */
const frameOf = (code: Uint8Array): Frame | undefined => {
	const rules: FrameNote[] = [];
	let pushed = 0;
	let hasPopped = false;
	for (let offset = 0; offset < code.length; ) {
		const byte = code[offset] ?? 0;
		const [push, pop] = [PUSHES.get(byte), POPS.get(byte)];
		const other = OTHERS.find((bytes) => bytes.every((value, index) => code[offset + index] === value));
		if (push === undefined && pop === undefined && other === undefined && byte !== RET) return undefined;
		offset += other?.length ?? 1;
		if (byte === RET && hasPopped) return { length: offset, rules };
		const note = (rule: FrameRule): number => rules.push({ ...rule, offset });
		if (push !== undefined) {
			pushed++;
			note({ kind: "cfa-offset", cfaOffset: (pushed + 1) * WORD });
			note({ kind: "saved", register: push, distance: (pushed + 1) * WORD });
		}
		if (pop !== undefined) {
			hasPopped = true;
			pushed--;
			note({ kind: "cfa-offset", cfaOffset: (pushed + 1) * WORD });
			note({ kind: "restored", register: pop });
		}
	}
	return undefined;
};

/** @param ownPages bytes between the image and the host's data pages: what of ours is mapped behind the image */
export const behindImage = (neighbour: HostNeighbour, ownPages: number): MappedBehind | undefined => {
	const { dataSize, bytes, kernelVsyscall } = neighbour;
	const frame = frameOf(bytes.subarray(kernelVsyscall));
	if (frame === undefined) return undefined;
	const start = ownPages + dataSize;
	return { size: start + bytes.length, frames: [{ start: start + kernelVsyscall, ...frame }] };
};
