/** What `vsyscall inspect --json` says, checked against its schema. */
import assert from "node:assert/strict";
import { readSchema, schemaFaults } from "./json-schema.ts";
import { type Finished, type RunSettings, vsyscall } from "./vsyscall.ts";

export interface InspectedSymbol {
	readonly name: string;
	readonly version: string | null;
	readonly type: string;
	readonly binding: string;
	readonly value: string;
	readonly size: number;
	readonly leadsTo: { readonly address: string; readonly name: string | null } | null;
}

export interface InspectedEntry {
	readonly type: number;
	readonly name: string;
	readonly value: string;
}

export interface InspectedFunction {
	readonly names: readonly string[];
	readonly instructions: readonly { readonly address: string; readonly bytes: string; readonly text: string }[];
}

/** The parts of docs/inspect.schema.json that tests look at. */
export interface Inspected {
	readonly target: { readonly kind: string; readonly pid?: number; readonly emptiness?: string | null };
	readonly clock: {
		readonly name: string | null;
		readonly kind?: string;
		readonly spec?: string;
		readonly time?: string | null;
		readonly entryPage: string | null;
	} | null;
	readonly image: {
		readonly address: string;
		readonly abi: string;
		readonly type: string;
		readonly entry: string;
		readonly soname: string | null;
		readonly buildId: string | null;
		readonly verdict: { readonly profile: string; readonly violations: readonly unknown[] } | null;
		readonly segments: readonly Readonly<Record<string, string | number>>[];
		readonly symbols: readonly InspectedSymbol[];
		readonly notes: readonly { readonly name: string; readonly type: number; readonly meaning: string }[];
		readonly versions: readonly { readonly index: number; readonly name: string }[];
		readonly fault?: string;
	} | null;
	readonly hostImage: { readonly start: string } | null;
	readonly auxv: {
		readonly bits: number;
		readonly kernel: readonly InspectedEntry[];
		readonly stack: { readonly address: string; readonly entries: readonly InspectedEntry[] } | null;
	} | null;
	readonly kernelVsyscall: { readonly address: string; readonly instruction: string | null } | null;
	readonly vvar: {
		readonly layout: string | null;
		readonly page: number;
		readonly clockMode: { readonly value: number; readonly name: string };
		readonly multiplier: number;
		readonly shift: number;
		readonly cyclesPerSecond: string;
		readonly ageNanoseconds: string;
		readonly isInTimeNamespace: boolean;
	} | null;
	readonly timeNamespace: {
		readonly id: string;
		readonly isOurs: boolean;
		readonly monotonicNanoseconds: string;
	} | null;
	readonly vsyscallPage: { readonly host: string | null; readonly mapping: { readonly permissions: string } | null };
	readonly disassembly?: readonly InspectedFunction[];
}

const SCHEMA = readSchema("inspect.schema.json");

/** Parses what was printed. */
export const parseInspected = ({ stdout, stderr, exitCode }: Finished): Inspected => {
	assert.deepEqual([stderr, exitCode], ["", 0]);
	const value: unknown = JSON.parse(stdout);
	assert.deepEqual(schemaFaults(SCHEMA, value), []);
	return value as Inspected;
};

/** `vsyscall inspect ARGS --json` */
export const inspect = async (args: readonly string[], settings: RunSettings = {}): Promise<Inspected> =>
	parseInspected(await vsyscall(["inspect", ...args, "--json"], settings));
