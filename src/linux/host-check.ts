/** Refuses hosts on which nothing here can work, before anything is tried. */
import { VsyscallError } from "../errors.ts";

/**
 * @throws {VsyscallError} ERR_VSYSCALL_HOST
 */
export const checkHost = (platform: string = process.platform, arch: string = process.arch): void => {
	if (platform !== "linux") {
		throw new VsyscallError(
			"ERR_VSYSCALL_HOST",
			`this is ${platform}; vsyscall needs Linux (a container or a virtual machine will do)`,
		);
	}
	if (arch !== "x64") {
		throw new VsyscallError("ERR_VSYSCALL_HOST", `this Node is built for ${arch}; vsyscall needs Linux on x86-64`);
	}
};
