/** Which processes have rings of io_uring(7): the kernel names them so, in memory and among descriptors. */
import { readdirSync, readlinkSync } from "node:fs";
import { readText } from "./proc-file.ts";

const NAME = "anon_inode:[io_uring]";

const isRing = (path: string): boolean => {
	try {
		return readlinkSync(path) === NAME;
	} catch {
		// It has been closed, or is not for us to see.
		return false;
	}
};

const hasOpen = (pid: number): boolean => {
	const directory = `/proc/${pid}/fd`;
	try {
		return readdirSync(directory).some((descriptor) => isRing(`${directory}/${descriptor}`));
	} catch {
		return false;
	}
};

/** Whether a process has a ring mapped or open. One in memory of its own that has but a registered index is not seen. */
export const hasIoUring = (pid: number): boolean =>
	readText(`/proc/${pid}/maps`).includes(` ${NAME}\n`) || hasOpen(pid);
