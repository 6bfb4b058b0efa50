/** What `readelf -W` says about a file: the oracle of the reader. Parses the columns of binutils 2.35 to 2.44. */
import { spawnSync } from "node:child_process";

/** @returns the lines of its output. Its warnings, and the exit code that goes with them, mean nothing here. */
export const readelf = (path: string, ...options: readonly string[]): readonly string[] => {
	const { error, stdout } = spawnSync("readelf", ["-W", ...options, path], {
		encoding: "latin1",
		env: { ...process.env, LC_ALL: "C" },
		maxBuffer: 1 << 28,
		stdio: ["ignore", "pipe", "ignore"],
	});
	if (error !== undefined) throw error;
	return stdout.split("\n");
};

export interface OracleSymbol {
	readonly value: bigint;
	readonly size: bigint;
	readonly type: string;
	readonly binding: string;
	readonly visibility: string;
	readonly section: string;
	/** With its version as readelf shows it. */
	readonly name: string;
}

const SYMBOL =
	/^ *\d+: (?<value>[0-9a-f]+) +(?<size>\d+|0x[0-9a-f]+) (?<type>\S+) +(?<binding>\S+) +(?<visibility>\S+) +(?<section>\S+) ?(?<name>.*)$/;

/** The fields of a match whose groups are all there. */
const groups = (pattern: RegExp, line: string): Readonly<Record<string, string>> | undefined =>
	pattern.exec(line)?.groups;

export const oracleSymbols = (path: string): readonly OracleSymbol[] =>
	readelf(path, "--dyn-syms").flatMap((line) => {
		const found = groups(SYMBOL, line);
		if (found === undefined) return [];
		const { value = "", size = "", type = "", binding = "", visibility = "", section = "", name = "" } = found;
		return [{ value: BigInt(`0x${value}`), size: BigInt(size), type, binding, visibility, section, name }];
	});

export interface OracleSegment {
	readonly type: string;
	readonly numbers: readonly bigint[];
	readonly flags: string;
}

const SEGMENT =
	/^ {2}(?<type>[A-Z_]+) +(?<numbers>(?:0x[0-9a-f]+ ){5})(?<flags>[R ][W ][E ]) (?<alignment>0x[0-9a-f]+|0) *$/;

/** Numbers: offset, virtual address, size in the file, size in memory, alignment. */
export const oracleSegments = (path: string): readonly OracleSegment[] =>
	readelf(path, "-l").flatMap((line) => {
		const found = groups(SEGMENT, line);
		if (found === undefined) return [];
		const [offset = 0n, address = 0n, , fileSize = 0n, memorySize = 0n] = (found["numbers"] ?? "")
			.split(" ")
			.map(BigInt);
		const numbers = [offset, address, fileSize, memorySize, BigInt(found["alignment"] ?? 0)];
		return [{ type: found["type"] ?? "", numbers, flags: found["flags"] ?? "" }];
	});

const DYNAMIC = /^ 0x(?<tag>[0-9a-f]+) \(\w+\) +(?<text>.*)$/;

/** Tag, and its number where readelf prints one. */
export const oracleDynamic = (path: string): readonly (readonly [number, bigint | undefined])[] =>
	readelf(path, "-d").flatMap((line) => {
		const found = groups(DYNAMIC, line);
		if (found === undefined) return [];
		const number = /^(0x[0-9a-f]+|\d+(?= \(bytes\)$)|\d+$)/.exec(found["text"] ?? "")?.[0];
		return [[Number(`0x${found["tag"]}`), number === undefined ? undefined : BigInt(number)] as const];
	});

export const oracleStrings = (path: string, pattern: RegExp, ...options: readonly string[]): readonly string[] =>
	readelf(path, ...options).flatMap((line) => pattern.exec(line)?.[1] ?? []);

export interface OracleFrame {
	readonly start: bigint;
	readonly end: bigint;
	/** Names of the registers that have a column. */
	readonly columns: readonly string[];
	/** Address, CFA and a rule per column; the last row when there are several for one address. */
	readonly rows: ReadonlyMap<bigint, readonly string[]>;
}

/** The first `limit` FDEs. */
export const oracleFrames = (path: string, limit: number): readonly OracleFrame[] => {
	const frames: { start: bigint; end: bigint; columns: string[]; rows: Map<bigint, string[]> }[] = [];
	let isInFrame = false;
	for (const line of readelf(path, "--debug-dump=frames-interp")) {
		const range = / FDE cie=[0-9a-f]+ pc=([0-9a-f]+)\.\.([0-9a-f]+)/.exec(line);
		if (range !== null) {
			if (frames.length === limit) break;
			frames.push({ start: BigInt(`0x${range[1]}`), end: BigInt(`0x${range[2]}`), columns: [], rows: new Map() });
			isInFrame = true;
			continue;
		}
		if (/ CIE |ZERO terminator/.test(line)) isInFrame = false;
		const frame = frames.at(-1);
		if (!isInFrame || frame === undefined) continue;
		// A register rule is printed as "r1 (rdx)".
		const [first = "", second, ...rest] = line
			.trim()
			.replaceAll(/ \(\w+\)/g, "")
			.split(/ +/);
		if (first === "LOC") frame.columns = rest;
		else if (/^[0-9a-f]{8,16}$/.test(first) && second !== undefined)
			frame.rows.set(BigInt(`0x${first}`), [second, ...rest]);
	}
	return frames;
};
