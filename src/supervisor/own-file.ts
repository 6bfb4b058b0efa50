/**
 * The way round an unreachable file: the process makes a memory file itself, and we fill it through its descriptor.
 *
 * That works in every chroot, user and namespace, because nobody opens a path on the far side. The price is a page of its own.
 */
import { closeSync, openSync } from "node:fs";
import * as linux from "../linux/constants.ts";
import { syscallResult } from "../linux/ffi.ts";
import { writeMemory } from "../linux/remote-memory.ts";
import { errnoName } from "../linux/syscall-error.ts";
import type { PageFile } from "./page-file.ts";
import type { RemoteScript } from "./remote-call.ts";

export type OwnFileResult =
	| { readonly kind: "made"; readonly descriptor: number }
	| { readonly kind: "failed"; readonly reason: string };

const EINVAL = 22n;
const NAME = new TextEncoder().encode("vsyscall\0");

/** A descriptor of ours for a descriptor of another process, or -errno. */
const borrow = (tid: number, descriptor: number): number => {
	try {
		return openSync(`/proc/${tid}/fd/${descriptor}`, "r+");
	} catch {
		// No /proc here: Linux 5.6 can do without.
		const pidfd = syscallResult(linux.SYS_pidfd_open, tid, 0);
		if (pidfd < 0) return pidfd;
		const fd = syscallResult(linux.SYS_pidfd_getfd, pidfd, descriptor, 0);
		closeSync(pidfd);
		return fd;
	}
};

export interface OwnFileRequest {
	readonly tid: number;
	/** Writable memory of the process that nobody uses. */
	readonly scratch: bigint;
	readonly pageFile: PageFile;
}

/** The calls of a process that makes a copy of the run's file for itself. */
export function* makeOwnFile({ tid, scratch, pageFile }: OwnFileRequest): RemoteScript<OwnFileResult> {
	const written = writeMemory(tid, scratch, NAME);
	if (written < 0) return { kind: "failed", reason: `its stack cannot be written (${errnoName(-written)})` };
	const flags = BigInt(linux.MFD_CLOEXEC | linux.MFD_ALLOW_SEALING);
	let made = yield { number: linux.SYS_memfd_create, args: [scratch, flags | BigInt(linux.MFD_NOEXEC_SEAL)] };
	if (made === -EINVAL) made = yield { number: linux.SYS_memfd_create, args: [scratch, flags] };
	if (made < 0n) return { kind: "failed", reason: `it cannot make a memory file (${errnoName(Number(-made))})` };
	const fd = borrow(tid, Number(made));
	if (fd < 0) return { kind: "failed", reason: `its memory file cannot be opened (${errnoName(-fd)})` };
	try {
		pageFile.copyTo(fd);
		return { kind: "made", descriptor: Number(made) };
	} catch (error) {
		return {
			kind: "failed",
			reason: `its memory file cannot be filled (${error instanceof Error ? error.message : "unknown"})`,
		};
	} finally {
		closeSync(fd);
	}
}
