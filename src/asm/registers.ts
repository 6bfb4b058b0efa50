/** The general-purpose registers of x86, numbered as in SDM vol. 2, table 2-2 ("REX.R/X/B and the ModRM register"). */
export type RegisterWidth = 8 | 16 | 32 | 64;

export interface Register {
	readonly kind: "register";
	readonly name: string;
	/** 0 to 15; bit 3 travels in a REX prefix. */
	readonly number: number;
	readonly width: RegisterWidth;
}

const register = (name: string, number: number, width: RegisterWidth): Register => ({
	kind: "register",
	name,
	number,
	width,
});

export const rax: Register = register("rax", 0, 64);
export const rcx: Register = register("rcx", 1, 64);
export const rdx: Register = register("rdx", 2, 64);
export const rbx: Register = register("rbx", 3, 64);
export const rsp: Register = register("rsp", 4, 64);
export const rbp: Register = register("rbp", 5, 64);
export const rsi: Register = register("rsi", 6, 64);
export const rdi: Register = register("rdi", 7, 64);
export const r8: Register = register("r8", 8, 64);
export const r9: Register = register("r9", 9, 64);
export const r10: Register = register("r10", 10, 64);
export const r11: Register = register("r11", 11, 64);
export const r12: Register = register("r12", 12, 64);
export const r13: Register = register("r13", 13, 64);
export const r14: Register = register("r14", 14, 64);
export const r15: Register = register("r15", 15, 64);

export const eax: Register = register("eax", 0, 32);
export const ecx: Register = register("ecx", 1, 32);
export const edx: Register = register("edx", 2, 32);
export const ebx: Register = register("ebx", 3, 32);
export const esp: Register = register("esp", 4, 32);
export const ebp: Register = register("ebp", 5, 32);
export const esi: Register = register("esi", 6, 32);
export const edi: Register = register("edi", 7, 32);
export const r8d: Register = register("r8d", 8, 32);
export const r9d: Register = register("r9d", 9, 32);
export const r10d: Register = register("r10d", 10, 32);
export const r11d: Register = register("r11d", 11, 32);
export const r12d: Register = register("r12d", 12, 32);
export const r13d: Register = register("r13d", 13, 32);
export const r14d: Register = register("r14d", 14, 32);
export const r15d: Register = register("r15d", 15, 32);

/** All 64-bit registers in the order of their numbers. */
export const REGISTERS_64: readonly Register[] = [
	rax,
	rcx,
	rdx,
	rbx,
	rsp,
	rbp,
	rsi,
	rdi,
	r8,
	r9,
	r10,
	r11,
	r12,
	r13,
	r14,
	r15,
];

/** All 32-bit registers in the order of their numbers. */
export const REGISTERS_32: readonly Register[] = [
	eax,
	ecx,
	edx,
	ebx,
	esp,
	ebp,
	esi,
	edi,
	r8d,
	r9d,
	r10d,
	r11d,
	r12d,
	r13d,
	r14d,
	r15d,
];
