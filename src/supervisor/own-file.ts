/**
 * The way round an unreachable file: the process makes a memory file itself, and we fill it through its descriptor.
 *
 * That works in every chroot, user and namespace, because nobody opens a path on the far side. The price is a page of its own.
 */
import { closeSync, openSync, readlinkSync } from "node:fs";
import { borrowDescriptor } from "../linux/borrowed-descriptor.ts";
import * as linux from "../linux/constants.ts";
import { MEMORY_FILE_NAME } from "../linux/memfd.ts";
import { isOwnProc } from "../linux/proc-file.ts";
import { writeMemory } from "../linux/remote-memory.ts";
import { errnoName } from "../linux/syscall-error.ts";
import type { PageFile } from "./page-file.ts";
import type { RemoteScript } from "./remote-call.ts";

export type OwnFileResult =
	| { readonly kind: "made"; readonly descriptor: number }
	| { readonly kind: "failed"; readonly reason: string };

const EINVAL = 22n;
const ENOENT = 2;
/** What /proc says of a memory file with this name. */
const MEMORY_FILE = "/memfd:vsyscall (deleted)";

/** A descriptor of ours for a descriptor of another process, or -errno. */
const borrow = (tid: number, descriptor: number): number => {
	const fd = borrowDescriptor(tid, descriptor);
	if (fd >= 0) return fd;
	// Before Linux 5.6. Only the file that was just made is opened, whatever /proc says.
	const path = `/proc/${tid}/fd/${descriptor}`;
	try {
		return isOwnProc() && readlinkSync(path) === MEMORY_FILE ? openSync(path, "r+") : -ENOENT;
	} catch {
		return -ENOENT;
	}
};

/** What a process has mapped and opened in the belief that it was our file. */
export interface StaleFile {
	/** Undefined when it could not even be mapped. */
	readonly address: bigint | undefined;
	readonly length: number;
	readonly descriptor: bigint;
}

export interface OwnFileRequest {
	readonly tid: number;
	readonly stale: StaleFile | undefined;
	/** Writable memory of the process that nobody uses. */
	readonly scratch: bigint;
	readonly pageFile: PageFile;
}

/** The calls of a process that makes a copy of the run's file for itself. */
export function* makeOwnFile({ tid, stale, scratch, pageFile }: OwnFileRequest): RemoteScript<OwnFileResult> {
	if (stale !== undefined) {
		if (stale.address !== undefined) yield { number: linux.SYS_munmap, args: [stale.address, BigInt(stale.length)] };
		yield { number: linux.SYS_close, args: [stale.descriptor] };
	}
	const written = writeMemory(tid, scratch, MEMORY_FILE_NAME);
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
