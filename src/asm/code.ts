/**
 * What the assembler made: bytes that run at any address, where the labels are in them, and the call frame's rules.
 *
 *     const code = assembler.assemble();
 *     code.offsetOf(start);                              // of a bound label
 *     const bytes = code.link((label) => places[label.name]);   // external labels, relative to the first byte
 */
import { immediateBytes } from "./encoding.ts";
import { fail } from "./fail.ts";
import type { Label } from "./operands.ts";
import type { Register } from "./registers.ts";

/** A rule of the call frame. */
export type FrameRule =
	/** The canonical frame address is so many bytes above the stack pointer. */
	| { readonly kind: "cfa-offset"; readonly cfaOffset: number }
	| { readonly kind: "return-address-undefined" }
	/** The caller's value of the register lies `distance` bytes below the canonical frame address; or it is in the register again. */
	| { readonly kind: "saved"; readonly register: Register; readonly distance: number }
	| { readonly kind: "restored"; readonly register: Register }
	/** The interrupted code's registers lie in a struct sigcontext of i386, so many bytes above the stack pointer. */
	| { readonly kind: "signal-context"; readonly context: number };

/** A rule that holds from `offset` on. */
export type FrameNote = FrameRule & { readonly offset: number };

export interface PlacedFixup {
	/** Offset of the 32-bit field in the code. */
	readonly field: number;
	readonly label: Label;
	readonly addend: number;
	/** What the distance is counted from: the offset of the next instruction in the code, or the label of an anchor. */
	readonly origin: number | Label;
}

/** The field of `fixup`; undefined while one of its labels has no place, counted in bytes from the first byte of the code. */
export const displacementBytes = (
	{ label, addend, origin }: PlacedFixup,
	placeOf: (label: Label) => number | undefined,
): readonly number[] | undefined => {
	const place = placeOf(label);
	const from = typeof origin === "number" ? origin : placeOf(origin);
	if (place === undefined || from === undefined) return undefined;
	const distance = place + addend - from;
	if (distance !== (distance | 0)) fail(`${label.name} is out of reach: ${distance} bytes away`);
	return immediateBytes(distance, 4);
};

export class Code {
	readonly bytes: Uint8Array;
	readonly frameNotes: readonly FrameNote[];
	readonly #offsets: ReadonlyMap<Label, number>;
	readonly #external: readonly PlacedFixup[];

	constructor(
		bytes: Uint8Array,
		offsets: ReadonlyMap<Label, number>,
		external: readonly PlacedFixup[],
		frameNotes: readonly FrameNote[],
	) {
		this.bytes = bytes;
		this.#offsets = offsets;
		this.#external = external;
		this.frameNotes = frameNotes;
	}

	/** @throws {VsyscallError} ERR_VSYSCALL_ASSEMBLER when the label was never bound. */
	offsetOf(label: Label): number {
		return this.#offsets.get(label) ?? fail(`label ${label.name} is not bound`);
	}

	/**
	 * A copy of the bytes with every external label resolved.
	 *
	 * @param placeOf the distance in bytes from the first byte of the code to a label that is not bound
	 * @throws {VsyscallError} ERR_VSYSCALL_ASSEMBLER when a label is out of reach of 32 signed bits.
	 */
	link(placeOf: (label: Label) => number): Uint8Array {
		const linked = this.bytes.slice();
		const everyPlace = (label: Label): number => this.#offsets.get(label) ?? placeOf(label);
		for (const fixup of this.#external) linked.set(displacementBytes(fixup, everyPlace) ?? [], fixup.field);
		return linked;
	}
}
