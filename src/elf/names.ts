/** Numbers of elf.h as `readelf` spells them, without their prefix; a number without a name in hexadecimal. */
import * as elf from "./constants.ts";
import { hex } from "./elf-error.ts";

const named =
	(names: Readonly<Record<number, string>>) =>
	(value: number): string =>
		names[value] ?? hex(value);

/** e_type */
export const fileType: (value: number) => string = named({
	[elf.ET_REL]: "REL",
	[elf.ET_EXEC]: "EXEC",
	[elf.ET_DYN]: "DYN",
	[elf.ET_CORE]: "CORE",
});

/** p_type */
export const segmentType: (value: number) => string = named({
	[elf.PT_NULL]: "NULL",
	[elf.PT_LOAD]: "LOAD",
	[elf.PT_DYNAMIC]: "DYNAMIC",
	[elf.PT_INTERP]: "INTERP",
	[elf.PT_NOTE]: "NOTE",
	[elf.PT_PHDR]: "PHDR",
	[elf.PT_TLS]: "TLS",
	[elf.PT_GNU_EH_FRAME]: "GNU_EH_FRAME",
	[elf.PT_GNU_STACK]: "GNU_STACK",
	[elf.PT_GNU_RELRO]: "GNU_RELRO",
	[elf.PT_GNU_PROPERTY]: "GNU_PROPERTY",
});

/** STT_* */
export const symbolType: (value: number) => string = named({
	[elf.STT_NOTYPE]: "NOTYPE",
	[elf.STT_OBJECT]: "OBJECT",
	[elf.STT_FUNC]: "FUNC",
	[elf.STT_SECTION]: "SECTION",
	[elf.STT_FILE]: "FILE",
	[elf.STT_TLS]: "TLS",
	[elf.STT_GNU_IFUNC]: "IFUNC",
});

/** STB_* */
export const symbolBinding: (value: number) => string = named({
	[elf.STB_LOCAL]: "LOCAL",
	[elf.STB_GLOBAL]: "GLOBAL",
	[elf.STB_WEAK]: "WEAK",
	[elf.STB_GNU_UNIQUE]: "UNIQUE",
});

/** p_flags: `r-x` */
export const segmentFlags = (flags: number): string =>
	`${(flags & elf.PF_R) === 0 ? "-" : "r"}${(flags & elf.PF_W) === 0 ? "-" : "w"}${(flags & elf.PF_X) === 0 ? "-" : "x"}`;
