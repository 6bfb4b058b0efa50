/**
 * Descriptors that go from one process to another through a Unix socket: SCM_RIGHTS, unix(7).
 *
 *     words of            8 bytes                                      4 bytes
 *     struct msghdr       name 0 · namelen 8 · iov 16 · iovlen 24      name 0 · namelen 4 · iov 8 · iovlen 12
 *                         control 32 · controllen 40 · flags 48        control 16 · controllen 20 · flags 24
 *     struct iovec        base 0 · len 8                               base 0 · len 4
 *     struct cmsghdr      len 0 · level 8 · type 12                    len 0 · level 4 · type 8
 *                         then the descriptors, an int each
 *
 * In a message of ours they stand one behind the other, from a start that is a multiple of 8.
 */
import { ByteReader, setU32, setWord, type WordSize } from "../bytes.ts";
import * as linux from "./constants.ts";
import { addressOf, syscallResult } from "./ffi.ts";

const DESCRIPTOR = 4;
const OWN_WORD = 8;

/** Places in a message, in words of its class. */
const WORDS = { iov: 2, iovLength: 3, control: 4, controlLength: 5, iovec: 7, controlHeader: 9 } as const;

const place = (name: keyof typeof WORDS, word: WordSize): number => WORDS[name] * word;
/** Behind the cmsghdr: a word and two ints. */
const descriptorsPlace = (word: WordSize): number => place("controlHeader", word) + word + 8;

/** Of a control message: cmsg(3), CMSG_LEN and CMSG_SPACE. */
const controlLength = (count: number, word: WordSize): number => word + 8 + count * DESCRIPTOR;
const controlSpace = (count: number, word: WordSize): number => (controlLength(count, word) + word - 1) & ~(word - 1);

/** Bytes of a message with `count` descriptors, and one byte of data at its end: without data nothing is sent. */
export const messageSize = (count: number, word: WordSize): number =>
	place("controlHeader", word) + controlSpace(count, word) + word;

/** A message as sendmsg(2) and recvmsg(2) want it, for memory at `address`, with room for `count` descriptors. */
export const makeMessage = (address: bigint, count: number, word: WordSize): Uint8Array => {
	const message = new Uint8Array(messageSize(count, word));
	const set = (offset: number, value: bigint): void => setWord(message, offset, value, word);
	const pointerTo = (offset: number): bigint => address + BigInt(offset);
	set(place("iov", word), pointerTo(place("iovec", word)));
	set(place("iovLength", word), 1n);
	set(place("control", word), pointerTo(place("controlHeader", word)));
	set(place("controlLength", word), BigInt(controlSpace(count, word)));
	set(place("iovec", word), pointerTo(place("controlHeader", word) + controlSpace(count, word)));
	set(place("iovec", word) + word, 1n);
	return message;
};

/** Sends descriptors of ours. @returns 1, or -errno */
export const sendDescriptors = (socket: number, descriptors: readonly number[]): number => {
	const count = descriptors.length;
	const message = new Uint8Array(messageSize(count, OWN_WORD));
	const header = place("controlHeader", OWN_WORD);
	message.set(makeMessage(addressOf(message), count, OWN_WORD));
	setWord(message, header, BigInt(controlLength(count, OWN_WORD)), OWN_WORD);
	setU32(message, header + OWN_WORD, linux.SOL_SOCKET);
	setU32(message, header + OWN_WORD + 4, linux.SCM_RIGHTS);
	descriptors.forEach((fd, index) => setU32(message, descriptorsPlace(OWN_WORD) + index * DESCRIPTOR, fd));
	return syscallResult(linux.SYS_sendmsg, socket, message, 0);
};

/** The descriptors in a message that recvmsg has filled; undefined when it has not brought `count` of them. */
export const receivedDescriptors = (
	message: Uint8Array,
	count: number,
	word: WordSize,
): readonly number[] | undefined => {
	const reader = new ByteReader(message);
	const header = place("controlHeader", word);
	const isWhole =
		reader.word(header, word) === BigInt(controlLength(count, word)) &&
		reader.u32(header + word) === linux.SOL_SOCKET &&
		reader.u32(header + word + 4) === linux.SCM_RIGHTS;
	if (!isWhole) return undefined;
	return Array.from({ length: count }, (_, index) => reader.u32(descriptorsPlace(word) + index * DESCRIPTOR));
};
