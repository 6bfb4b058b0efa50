/**
 * Entries of a tar archive, one after the other: POSIX ustar and pax, and GNU's long names and large sizes.
 *
 *     0    name[100]      124  size[12]    octal, or 0x80 and a big-endian number (GNU)
 *     148  checksum[8]    156  type        157  link name[100]
 *     257  "ustar"        345  prefix[155]
 *
 * Sources: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Header Block"; tar(5) of GNU for L, K and base-256.
 */
import { latin1 } from "../../elf/string-table.ts";
import { type ByteStream, Section } from "./byte-stream.ts";

export type TarType = "file" | "directory" | "symlink" | "hardlink" | "other";

export interface TarEntry {
	/** Without `./` and `/` in front, and without `/` behind. */
	readonly path: string;
	readonly type: TarType;
	/** Where a link leads, as written. */
	readonly link: string;
	readonly size: number;
	/** The bytes of a file. */
	readonly content: Section;
}

/** An archive that cannot be read on. */
export class TarError extends Error {}

export const BLOCK = 512;
const TYPES: Readonly<Record<string, TarType>> = {
	"0": "file",
	"\0": "file",
	"7": "file",
	"1": "hardlink",
	"2": "symlink",
	"5": "directory",
};
/** Of names and attributes: a longer header is damaged. */
const MOST_HEADER = 1 << 20;
const BASE_256 = 0x80;

const text = (block: Uint8Array, offset: number, length: number): string => {
	const field = block.subarray(offset, offset + length);
	const end = field.indexOf(0);
	return decode(end < 0 ? field : field.subarray(0, end));
};

const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

const number = (block: Uint8Array, offset: number, length: number): number => {
	const field = block.subarray(offset, offset + length);
	if (((field[0] ?? 0) & BASE_256) === 0) return Number.parseInt(latin1(field).replaceAll("\0", " ").trim() || "0", 8);
	return field.reduce((value, byte, index) => value * 256 + (index === 0 ? byte & ~BASE_256 : byte), 0);
};

/** Whether a block is the header of an entry: its checksum counts itself as spaces. */
export const isTarHeader = (block: Uint8Array): boolean => {
	if (block.length < BLOCK) return false;
	const sum = block.subarray(0, BLOCK).reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 0x20 : byte), 0);
	return sum === number(block, 148, 8);
};

/** `./a//b/` -> `a/b` */
export const normalPath = (path: string): string =>
	path
		.split("/")
		.filter((part) => part !== "" && part !== ".")
		.join("/");

/** Records "LENGTH KEY=VALUE\n". */
const paxRecords = (bytes: Uint8Array): ReadonlyMap<string, string> => {
	const records = new Map<string, string>();
	for (let offset = 0; offset < bytes.length; ) {
		const space = bytes.indexOf(0x20, offset);
		const length = space < 0 ? 0 : Number(latin1(bytes.subarray(offset, Math.min(space, offset + 12))));
		if (!Number.isSafeInteger(length) || length <= space - offset) return records;
		const record = decode(bytes.subarray(space + 1, offset + length - 1));
		const equals = record.indexOf("=");
		if (equals > 0) records.set(record.slice(0, equals), record.slice(equals + 1));
		offset += length;
	}
	return records;
};

/** What headers in front of an entry say of it. */
interface Extension {
	readonly path?: string | undefined;
	readonly link?: string | undefined;
	readonly size?: number | undefined;
}

const padded = (size: number): number => Math.ceil(size / BLOCK) * BLOCK;

const readHeaderBody = async (stream: ByteStream, size: number): Promise<Uint8Array> => {
	if (size > MOST_HEADER) throw new TarError(`a header of ${size} bytes, expected at most ${MOST_HEADER}`);
	const bytes = (await stream.read(size)).slice();
	await stream.skip(padded(size) - size);
	return bytes;
};

const extend = (before: Extension, type: string, body: Uint8Array): Extension => {
	const line = (): string => text(body, 0, body.length);
	if (type === "L") return { ...before, path: line() };
	if (type === "K") return { ...before, link: line() };
	if (type !== "x") return before;
	const records = paxRecords(body);
	const size = records.get("size");
	return {
		path: records.get("path") ?? before.path,
		link: records.get("linkpath") ?? before.link,
		size: size === undefined ? before.size : Number(size),
	};
};

const nameOf = (block: Uint8Array): string => {
	const name = text(block, 0, 100);
	const prefix = text(block, 257, 5) === "ustar" && text(block, 257, 8) !== "ustar  " ? text(block, 345, 155) : "";
	return prefix === "" ? name : `${prefix}/${name}`;
};

/** Types of headers that only tell of others. */
const HEADERS = "LKxg";

/**
 * The entries in order. What of an entry's content is not read until the next one is asked for is passed over.
 *
 * @throws {TarError} where what should be a header is none, or the archive ends in an entry.
 */
export const readTar = async function* (stream: ByteStream): AsyncGenerator<TarEntry, void> {
	let extension: Extension = {};
	for (;;) {
		const block = (await stream.read(BLOCK)).slice();
		// Two blocks of zeros, or nothing more.
		if (block.every((byte) => byte === 0)) return;
		if (!isTarHeader(block)) throw new TarError("what should be the header of an entry is none");
		const type = String.fromCharCode(block[156] ?? 0);
		const stated = number(block, 124, 12);
		if (HEADERS.includes(type)) {
			extension = extend(extension, type, await readHeaderBody(stream, stated));
			continue;
		}
		const kind = TYPES[type] ?? "other";
		const size = kind === "file" || kind === "other" ? (extension.size ?? stated) : 0;
		if (!Number.isSafeInteger(size)) throw new TarError("an entry without a size");
		const content = new Section(stream, size);
		const path = normalPath(extension.path ?? nameOf(block));
		yield { path, type: kind, link: extension.link ?? text(block, 157, 100), size, content };
		if (!(await content.end())) throw new TarError("it ends inside of an entry");
		await stream.skip(padded(size) - size);
		extension = {};
	}
};
