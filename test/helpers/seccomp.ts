/** A small interpreter of classic BPF, for seccomp filters. */
import assert from "node:assert/strict";
import { ByteReader } from "../../src/bytes.ts";

export const X86_64 = 0xc000_003e;
export const I386 = 0x4000_0003;
export const X32 = 0x4000_0000;
export const ALLOW = 0x7fff_0000;
export const TRACE = 0x7ff0_0000;

/** struct seccomp_data, as far as it is given. */
export interface Call {
	readonly nr: number;
	readonly arch: number;
	readonly pointer: bigint;
	readonly args: readonly bigint[];
}

interface Instruction {
	readonly code: number;
	readonly yes: number;
	readonly no: number;
	readonly k: number;
}

export const instructionsOf = (filter: Uint8Array): readonly Instruction[] => {
	const reader = new ByteReader(filter);
	return Array.from({ length: filter.length / 8 }, (_, index) => ({
		code: reader.u16(8 * index),
		yes: reader.u8(8 * index + 2),
		no: reader.u8(8 * index + 3),
		k: reader.u32(8 * index + 4),
	}));
};

/** struct seccomp_data: include/uapi/linux/seccomp.h. */
const wordsOf = ({ nr, arch, pointer, args }: Call): Uint32Array => {
	const data = new DataView(new ArrayBuffer(64));
	data.setUint32(0, nr, true);
	data.setUint32(4, arch, true);
	[pointer, ...args].forEach((word, index) => data.setBigUint64(8 + 8 * index, word, true));
	return new Uint32Array(data.buffer);
};

/** The answer, and the offsets of the data that it depends on. */
export const interpret = (
	filter: Uint8Array,
	call: Call,
): { readonly answer: number; readonly reads: ReadonlySet<number> } => {
	const instructions = instructionsOf(filter);
	const words = wordsOf(call);
	const reads = new Set<number>();
	let accumulator = 0;
	for (let index = 0; ; index++) {
		const { code, yes, no, k } = instructions[index] ?? assert.fail(`runs past its end at ${index}`);
		if (code === 0x06) return { answer: k, reads };
		if (code === 0x20) {
			reads.add(k);
			accumulator = words[k / 4] ?? assert.fail(`loads from ${k}`);
		} else if (code === 0x54) accumulator = (accumulator & k) >>> 0;
		else if (code === 0x05) index += k;
		else if (code === 0x45) index += (accumulator & k) === 0 ? no : yes;
		else if (code === 0x15) index += accumulator === k ? yes : no;
		else assert.fail(`instruction ${code.toString(16)}`);
	}
};
