/**
 * Descriptors that go from one process to another through a Unix socket: SCM_RIGHTS, unix(7).
 *
 *     struct msghdr (56)   name 0 · namelen 8 · iov 16 · iovlen 24 · control 32 · controllen 40 · flags 48
 *     struct iovec (16)    base 0 · len 8
 *     struct cmsghdr (16)  len 0 · level 8 · type 12 · then the descriptors, an int each
 */
import { ByteReader, setU32, setU64 } from "../bytes.ts";
import * as linux from "./constants.ts";
import { addressOf, syscallResult } from "./ffi.ts";

const IOVEC = 56;
const CONTROL = 72;
const CONTROL_HEADER = 16;
const DESCRIPTOR = 4;

/** cmsg(3), CMSG_SPACE. */
const controlSpace = (count: number): number => (CONTROL_HEADER + count * DESCRIPTOR + 7) & ~7;

/** Bytes of a message with `count` descriptors, and one byte of data at its end: without data nothing is sent. */
export const messageSize = (count: number): number => CONTROL + controlSpace(count) + 8;

/** A message as sendmsg(2) and recvmsg(2) want it, for memory at `address`, with room for `count` descriptors. */
export const makeMessage = (address: bigint, count: number): Uint8Array => {
	const message = new Uint8Array(messageSize(count));
	setU64(message, 16, address + BigInt(IOVEC));
	setU64(message, 24, 1n);
	setU64(message, 32, address + BigInt(CONTROL));
	setU64(message, 40, BigInt(controlSpace(count)));
	setU64(message, IOVEC, address + BigInt(CONTROL + controlSpace(count)));
	setU64(message, IOVEC + 8, 1n);
	return message;
};

/** Sends descriptors of ours. @returns 1, or -errno */
export const sendDescriptors = (socket: number, descriptors: readonly number[]): number => {
	const count = descriptors.length;
	const message = new Uint8Array(messageSize(count));
	message.set(makeMessage(addressOf(message), count));
	setU64(message, CONTROL, BigInt(CONTROL_HEADER + count * DESCRIPTOR));
	setU32(message, CONTROL + 8, linux.SOL_SOCKET);
	setU32(message, CONTROL + 12, linux.SCM_RIGHTS);
	descriptors.forEach((fd, index) => setU32(message, CONTROL + CONTROL_HEADER + index * DESCRIPTOR, fd));
	return syscallResult(linux.SYS_sendmsg, socket, message, 0);
};

/** The descriptors in a message that recvmsg has filled; undefined when it has not brought `count` of them. */
export const receivedDescriptors = (message: Uint8Array, count: number): readonly number[] | undefined => {
	const reader = new ByteReader(message);
	const isWhole =
		reader.u64(CONTROL) === BigInt(CONTROL_HEADER + count * DESCRIPTOR) &&
		reader.u32(CONTROL + 8) === linux.SOL_SOCKET &&
		reader.u32(CONTROL + 12) === linux.SCM_RIGHTS;
	if (!isWhole) return undefined;
	return Array.from({ length: count }, (_, index) => reader.u32(CONTROL + CONTROL_HEADER + index * DESCRIPTOR));
};
