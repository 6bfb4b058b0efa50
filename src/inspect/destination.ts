/**
 * Where a function really goes: its own code, or what it jumps to with its first instruction, by a displacement or through a pointer.
 *
 * So are functions that an image leaves to the host's (`jmp *word`, vdso/forward.ts), and entry points that somebody has patched
 * (`jmp rel32`). A jump that leads to another one is followed. Encodings: SDM 2A, "JMP".
 */
import { ByteReader } from "../bytes.ts";
import type { ElfClass } from "../elf/class-layout.ts";
import type { AddressSpace } from "./address-space.ts";

/** The longest instruction. */
const INSTRUCTION_SIZE = 15;
const ENDBR_SIZE = 4;
const JUMPS_FOLLOWED = 8;

/** Bytes of code at an address; fewer where memory ends. */
const codeAt = (memory: AddressSpace, address: bigint): Uint8Array => {
	for (let length = ENDBR_SIZE + INSTRUCTION_SIZE; length > 0; length--) {
		const bytes = memory.read(address, length);
		if (bytes !== undefined) return bytes;
	}
	return new Uint8Array(0);
};

/** `endbr64` or `endbr32`. */
const startsWithEndbr = ([first, second, third, last = 0]: Uint8Array): boolean =>
	first === 0xf3 && second === 0x0f && third === 0x1e && (last === 0xfa || last === 0xfb);

const wordAt = (memory: AddressSpace, address: bigint, bits: ElfClass): bigint | undefined => {
	const bytes = memory.read(address, bits / 8);
	if (bytes === undefined) return undefined;
	return bits === 64 ? new ByteReader(bytes).u64(0) : BigInt(new ByteReader(bytes).u32(0));
};

/** @param bits of the code, which in an x32 image are more than those of its addresses */
const jumpTarget = (memory: AddressSpace, address: bigint, bits: ElfClass): bigint | undefined => {
	const code = codeAt(memory, address);
	const start = startsWithEndbr(code) ? ENDBR_SIZE : 0;
	const reader = new ByteReader(code);
	const left = code.length - start;
	const [opcode, modrm] = [code[start], code[start + 1]];
	const behind = (size: number): bigint => address + BigInt(start + size);
	const wrap = (target: bigint): bigint => BigInt.asUintN(bits, target);
	if (opcode === 0xeb && left >= 2) return wrap(behind(2) + BigInt.asIntN(8, BigInt(modrm ?? 0)));
	if (opcode === 0xe9 && left >= 5) return wrap(behind(5) + BigInt(reader.i32(start + 1)));
	if (opcode !== 0xff || modrm !== 0x25 || left < 6) return undefined;
	const displacement = BigInt(reader.i32(start + 2));
	return wordAt(memory, wrap(bits === 64 ? behind(6) + displacement : displacement), bits);
};

/** @returns where the code is that runs when `address` is called; `address` itself when its first instruction is no jump */
export const followJumps = (memory: AddressSpace, address: bigint, bits: ElfClass): bigint => {
	let at = address;
	for (let jumps = 0; jumps < JUMPS_FOLLOWED; jumps++) {
		const target = jumpTarget(memory, at, bits);
		if (target === undefined) return at;
		at = target;
	}
	return at;
};
