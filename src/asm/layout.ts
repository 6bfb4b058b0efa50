/**
 * Gives every instruction its place, and every branch its size.
 *
 * A branch starts in its short form (a signed byte to the target) and becomes near (32 bits) when the target is out of reach in
 * the layout at hand; that moves what follows, so the layout is made again until no branch changes. Branches only grow,
 * so it ends. Padding may shrink as code in front of it grows, so a branch across an `align` may stay near
 * although its target came back into reach: longer than needed, never wrong.
 */
import { Code, displacementBytes, type FrameNote, type FrameRule, type PlacedFixup } from "./code.ts";
import type { Fixup } from "./encoding.ts";
import type { Label } from "./operands.ts";

/** A jump or call to a label: opcode, then the distance from the next instruction in 8 or in 32 bits. */
export interface Branch {
	readonly kind: "branch";
	/** The opcode in front of a signed byte; calls have none. */
	readonly short: number | undefined;
	/** The opcode in front of 32 bits. */
	readonly near: readonly number[];
	readonly target: Label;
}

export type Item =
	| Branch
	| { readonly kind: "bytes"; readonly bytes: readonly number[]; readonly fixup?: Fixup }
	| { readonly kind: "label"; readonly label: Label }
	| { readonly kind: "align"; readonly alignment: number; readonly fill: number }
	| { readonly kind: "frame"; readonly rule: FrameRule };

interface Layout {
	readonly offsets: ReadonlyMap<Label, number>;
	readonly near: ReadonlySet<Branch>;
}

const isInt8 = (value: number): boolean => value >= -128 && value <= 127;

const sizeOf = (item: Item, offset: number, near: ReadonlySet<Branch>): number => {
	if (item.kind === "bytes") return item.bytes.length;
	if (item.kind === "branch") return near.has(item) ? item.near.length + 4 : 2;
	if (item.kind === "align") return -offset & (item.alignment - 1);
	return 0;
};

const placeLabels = (items: readonly Item[], near: ReadonlySet<Branch>): Map<Label, number> => {
	const offsets = new Map<Label, number>();
	let offset = 0;
	for (const item of items) {
		if (item.kind === "label") offsets.set(item.label, offset);
		offset += sizeOf(item, offset, near);
	}
	return offsets;
};

/** The branches that cannot reach their target in this layout; an external label is out of reach. */
const outOfReach = (items: readonly Item[], { offsets, near }: Layout): readonly Branch[] => {
	const growing: Branch[] = [];
	let offset = 0;
	for (const item of items) {
		offset += sizeOf(item, offset, near);
		if (item.kind !== "branch" || near.has(item)) continue;
		const target = offsets.get(item.target);
		if (target === undefined || !isInt8(target - offset)) growing.push(item);
	}
	return growing;
};

const isBranch = (item: Item): item is Branch => item.kind === "branch";

const settle = (items: readonly Item[]): Layout => {
	const near = new Set<Branch>(items.filter(isBranch).filter((branch) => branch.short === undefined));
	for (;;) {
		const offsets = placeLabels(items, near);
		const growing = outOfReach(items, { offsets, near });
		if (growing.length === 0) return { offsets, near };
		for (const branch of growing) near.add(branch);
	}
};

/** @param start offset of the instruction, @param next that of the one behind it */
const placeFixup = ({ field, label, addend, origin }: Fixup, start: number, next: number): PlacedFixup => ({
	field: start + field,
	label,
	addend,
	origin: origin === "next" ? next : origin,
});

/** Precondition: no label is bound twice. */
export const layOut = (items: readonly Item[]): Code => {
	const { offsets, near } = settle(items);
	const bytes: number[] = [];
	const fixups: PlacedFixup[] = [];
	const frameNotes: FrameNote[] = [];
	for (const item of items) {
		const start = bytes.length;
		const next = start + sizeOf(item, start, near);
		switch (item.kind) {
			case "bytes":
				for (const byte of item.bytes) bytes.push(byte);
				if (item.fixup !== undefined) fixups.push(placeFixup(item.fixup, start, next));
				break;
			case "branch":
				if (item.short === undefined || near.has(item)) {
					bytes.push(...item.near, 0, 0, 0, 0);
					fixups.push({ field: next - 4, label: item.target, addend: 0, origin: next });
				} else bytes.push(item.short, ((offsets.get(item.target) ?? 0) - next) & 0xff);
				break;
			case "align":
				while (bytes.length < next) bytes.push(item.fill);
				break;
			case "frame":
				frameNotes.push({ ...item.rule, offset: start });
				break;
			case "label":
				break;
		}
	}
	const settled = Uint8Array.from(bytes);
	const external: PlacedFixup[] = [];
	for (const fixup of fixups) {
		const field = displacementBytes(fixup, (label) => offsets.get(label));
		if (field === undefined) external.push(fixup);
		else settled.set(field, fixup.field);
	}
	return new Code(settled, offsets, external, frameNotes);
};
