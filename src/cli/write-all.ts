/** Writing to a descriptor that may be a pipe which does not block. */
import { writeSync } from "node:fs";

const RETRY_MS = 1;
const pause = new Int32Array(new SharedArrayBuffer(4));

/** Writes all of it, however often the other side is not ready. @throws the error of write(2), but not EAGAIN */
export const writeAll = (fd: number, text: string): void => {
	const bytes = Buffer.from(text);
	let done = 0;
	while (done < bytes.length) {
		try {
			done += writeSync(fd, bytes, done);
		} catch (error) {
			if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
			Atomics.wait(pause, 0, 0, RETRY_MS);
		}
	}
};
