import { VsyscallError } from "../errors.ts";

/** @throws {VsyscallError} ERR_VSYSCALL_ASSEMBLER always: the program asks for an instruction that does not exist. */
export const fail = (message: string): never => {
	throw new VsyscallError("ERR_VSYSCALL_ASSEMBLER", message);
};
