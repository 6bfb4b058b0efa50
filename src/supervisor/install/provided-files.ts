/**
 * The way round files that cannot be reached by a path: in every chroot, user and namespace, because nobody opens anything on the far
 * side.
 *
 *     1  the process makes a pair of sockets, we borrow one end (pidfd_getfd) and send our descriptors through it
 *     2  where that is forbidden or unknown (before Linux 5.6, some container profiles): it makes a memory file, which we fill through
 *        its descriptor. The price is a page of its own, to which this supervisor pushes as well.
 */
import { closeSync, openSync, readlinkSync } from "node:fs";
import { ByteReader, type WordSize } from "../../bytes.ts";
import { borrowDescriptor } from "../../linux/borrowed-descriptor.ts";
import * as linux from "../../linux/constants.ts";
import { makeMessage, messageSize, receivedDescriptors, sendDescriptors } from "../../linux/descriptor-passing.ts";
import { MEMORY_FILE_NAME } from "../../linux/memfd.ts";
import { isOwnProc } from "../../linux/proc-file.ts";
import { readMemory, writeMemory } from "../../linux/remote-memory.ts";
import { errnoName } from "../../linux/syscall-error.ts";
import type { ImageFiles } from "./page-file.ts";
import type { RemoteCall, RemoteScript } from "../remote-call.ts";

export type ProvidedFiles =
	/** Descriptors of the process: of the image's file, and of the vvar page's if that is another. */
	| { readonly kind: "passed"; readonly image: number; readonly page: number | undefined }
	/** The process has a copy of the run's file. */
	| { readonly kind: "made"; readonly image: number }
	| { readonly kind: "failed"; readonly reason: string };

const EINVAL = 22n;
const ENOENT = 2;
/** What /proc says of a memory file with this name. */
const MEMORY_FILE = "/memfd:vsyscall (deleted)";

const failed = (reason: string): ProvidedFiles => ({ kind: "failed", reason });

/** A descriptor of ours for the memory file that was just made: without pidfd_getfd only that one is opened, whatever /proc says. */
const borrowMemoryFile = (tid: number, descriptor: number): number => {
	const fd = borrowDescriptor(tid, descriptor);
	if (fd >= 0) return fd;
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
	readonly descriptor: number;
}

export interface FilesRequest {
	readonly tid: number;
	readonly stale: StaleFile | undefined;
	/** Writable memory of the process that nobody uses. */
	readonly scratch: bigint;
	readonly files: ImageFiles;
	/** Bytes of an address in the process. */
	readonly wordSize: WordSize;
}

const close = (descriptor: number): RemoteCall => ({ name: "close", args: [BigInt(descriptor)] });

/** The calls of a process that is given our descriptors. @returns those it has then; undefined when that cannot be done */
function* receiveFiles({ tid, scratch, files, wordSize }: FilesRequest): RemoteScript<readonly number[] | undefined> {
	const type = BigInt(linux.SOCK_DGRAM | linux.SOCK_CLOEXEC);
	if ((yield { name: "socketpair", args: [BigInt(linux.AF_UNIX), type, 0n, scratch] }) < 0n) return undefined;
	const pair = new Uint8Array(8);
	if (readMemory(tid, scratch, pair) !== pair.length) return undefined;
	const reader = new ByteReader(pair);
	const [ours, theirs] = [reader.u32(0), reader.u32(4)];
	const socket = borrowDescriptor(tid, ours);
	yield close(ours);
	let received: readonly number[] | undefined;
	if (socket >= 0) {
		const { readable } = files;
		const isSent = sendDescriptors(socket, readable) > 0;
		closeSync(socket);
		const message = makeMessage(scratch, readable.length, wordSize);
		if (isSent && writeMemory(tid, scratch, message) === message.length) {
			const flags = BigInt(linux.MSG_CMSG_CLOEXEC);
			const result = yield { name: "recvmsg", args: [BigInt(theirs), scratch, flags] };
			const filled = new Uint8Array(messageSize(readable.length, wordSize));
			if (result >= 0n && readMemory(tid, scratch, filled) === filled.length) {
				received = receivedDescriptors(filled, readable.length, wordSize);
			}
		}
	}
	yield close(theirs);
	return received;
}

/** The calls of a process that makes a copy of the run's file for itself. */
function* makeCopy(
	{ tid, scratch }: FilesRequest,
	copyTo: NonNullable<ImageFiles["copyTo"]>,
): RemoteScript<ProvidedFiles> {
	const written = writeMemory(tid, scratch, MEMORY_FILE_NAME);
	if (written < 0) return failed(`its stack cannot be written (${errnoName(-written)})`);
	const flags = BigInt(linux.MFD_CLOEXEC | linux.MFD_ALLOW_SEALING);
	let made = yield { name: "memfd_create", args: [scratch, flags | BigInt(linux.MFD_NOEXEC_SEAL)] };
	if (made === -EINVAL) made = yield { name: "memfd_create", args: [scratch, flags] };
	if (made < 0n) return failed(`it cannot make a memory file (${errnoName(Number(-made))})`);
	const fd = borrowMemoryFile(tid, Number(made));
	if (fd < 0) return failed(`its memory file cannot be opened (${errnoName(-fd)})`);
	try {
		copyTo(fd);
		return { kind: "made", image: Number(made) };
	} catch (error) {
		return failed(`its memory file cannot be filled (${error instanceof Error ? error.message : "unknown"})`);
	} finally {
		closeSync(fd);
	}
}

/** The calls of a process that gets the run's files without opening a path. */
export function* provideFiles(request: FilesRequest): RemoteScript<ProvidedFiles> {
	const { stale, files } = request;
	if (stale !== undefined) {
		if (stale.address !== undefined) yield { name: "munmap", args: [stale.address, BigInt(stale.length)] };
		if (stale.descriptor >= 0) yield close(stale.descriptor);
	}
	const [image, page] = (yield* receiveFiles(request)) ?? [];
	if (image !== undefined) return { kind: "passed", image, page };
	if (files.copyTo === undefined) {
		return failed(
			"the page of its clock can neither be opened nor passed to it (socketpair or pidfd_getfd is forbidden, or the kernel is older than 5.6)",
		);
	}
	return yield* makeCopy(request, files.copyTo);
}
