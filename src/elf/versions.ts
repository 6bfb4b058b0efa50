/**
 * The versions of symbols: DT_VERDEF names those that this file defines, DT_VERNEED those that it asks of others, and a u16 in
 * DT_VERSYM per symbol is the index of one of them (LSB Core, "Symbol Versioning").
 *
 * Both are lists of records linked by relative offsets, each with a linked list of auxiliary records. Links only lead
 * forward, and all lists together may have no more records than fit the file, so that links which cross cannot cost more than
 * reading the file once.
 */
import type { AddressMap } from "./address-map.ts";
import * as constants from "./constants.ts";
import { type DynamicEntry, dynamicValue } from "./dynamic.ts";
import { ElfError } from "./elf-error.ts";
import type { StringTable } from "./string-table.ts";
import type { ElfView, FileRange } from "./view.ts";

export interface VersionDefinition {
	readonly index: number;
	/** VER_FLG_*. */
	readonly flags: number;
	/** As the file has it, which may not be the hash of `name`. */
	readonly hash: number;
	readonly name: string;
	/** Names of the versions that this one inherits from. */
	readonly parents: readonly string[];
}

export interface VersionNeed {
	readonly index: number;
	readonly flags: number;
	readonly hash: number;
	readonly name: string;
	/** The file that is to define it. */
	readonly file: string;
}

interface Tables {
	readonly view: ElfView;
	readonly addresses: AddressMap;
	readonly dynamic: readonly DynamicEntry[];
	readonly strings: StringTable;
}

interface LinkedList {
	readonly first: number;
	readonly count: number;
	readonly recordSize: number;
	/** Where in a record the distance to the next one stands; distance 0 ends the list early. */
	readonly next: number;
	readonly what: string;
}

/** Offsets of the records of one list, each wholly inside `limit`. */
class Records {
	readonly #view: ElfView;
	readonly #limit: FileRange;
	#left: number;

	constructor(view: ElfView, limit: FileRange) {
		this.#view = view;
		this.#limit = limit;
		this.#left = Math.floor((limit.end - limit.offset) / constants.VERDAUX_SIZE);
	}

	*of({ first, count, recordSize, next, what }: LinkedList): Generator<number, void> {
		let record = first;
		for (let index = 0; index < count; index++) {
			if (record + recordSize > this.#limit.end) throw new ElfError(record, `${what} ${index}: not in its segment`);
			if (--this.#left < 0)
				throw new ElfError(record, `${what} ${index}: more records than their segment has room for`);
			yield record;
			const distance = this.#view.u32(record + next);
			if (distance === 0) return;
			record += distance;
		}
	}
}

/** A table that has an address and a count of records; absent without either. */
const locate = (
	{ view, addresses, dynamic }: Tables,
	tag: number,
	countTag: number,
	what: string,
): { readonly records: Records; readonly first: number; readonly count: number } | undefined => {
	const address = dynamicValue(dynamic, tag);
	const count = dynamicValue(dynamic, countTag);
	if (address === undefined || count === undefined) return undefined;
	const range = addresses.at(address, what);
	// A count that is too high ends in an error once the records run out.
	return { records: new Records(view, range), first: range.offset, count: Number(count) };
};

/** Definitions as far as they are linked: there may be fewer than DT_VERDEFNUM. */
export const readVersionDefinitions = (tables: Tables): readonly VersionDefinition[] => {
	const { view, strings } = tables;
	const table = locate(tables, constants.DT_VERDEF, constants.DT_VERDEFNUM, "DT_VERDEF");
	if (table === undefined) return [];
	const definitions: VersionDefinition[] = [];
	const list = { ...table, recordSize: constants.VERDEF_SIZE, next: 16, what: "Version definition" };
	for (const record of table.records.of(list)) {
		const names: string[] = [];
		const auxiliary = {
			first: record + view.u32(record + 12),
			count: view.u16(record + 6),
			recordSize: constants.VERDAUX_SIZE,
			next: 4,
			what: "Version name",
		};
		for (const name of table.records.of(auxiliary)) names.push(strings.at(view.u32(name), "Version name"));
		const [name, ...parents] = names;
		if (name === undefined) throw new ElfError(record, "A version definition without a name, expected one or more");
		definitions.push({
			index: view.u16(record + 4),
			flags: view.u16(record + 2),
			hash: view.u32(record + 8),
			name,
			parents,
		});
	}
	return definitions;
};

/** Needed versions as far as they are linked. */
export const readVersionNeeds = (tables: Tables): readonly VersionNeed[] => {
	const { view, strings } = tables;
	const table = locate(tables, constants.DT_VERNEED, constants.DT_VERNEEDNUM, "DT_VERNEED");
	if (table === undefined) return [];
	const needs: VersionNeed[] = [];
	const list = { ...table, recordSize: constants.VERNEED_SIZE, next: 12, what: "Needed file" };
	for (const record of table.records.of(list)) {
		const file = strings.at(view.u32(record + 4), "Needed file");
		const auxiliary = {
			first: record + view.u32(record + 8),
			count: view.u16(record + 2),
			recordSize: constants.VERNAUX_SIZE,
			next: 12,
			what: "Needed version",
		};
		for (const entry of table.records.of(auxiliary)) {
			needs.push({
				index: view.u16(entry + 6) & ~constants.VERSYM_HIDDEN,
				flags: view.u16(entry + 4),
				hash: view.u32(entry),
				name: strings.at(view.u32(entry + 8), "Needed version"),
				file,
			});
		}
	}
	return needs;
};
