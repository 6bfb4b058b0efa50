import { VsyscallError } from "../errors.ts";

export const hex = (value: number | bigint): string => `0x${value.toString(16)}`;

/** Bytes that are not the ELF they should be: what was found, what was expected, and where. */
export class ElfError extends VsyscallError {
	override readonly name: string = "ElfError";
	/** Where in the file, in bytes. */
	readonly offset: number;

	constructor(offset: number, message: string) {
		super("ERR_VSYSCALL_ELF", `${message} (at offset ${hex(offset)})`);
		this.offset = offset;
	}
}
