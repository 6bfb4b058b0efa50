/** The code of an image, function by function: what each is called, and what unwinders are told of it. */
import type { Assembler } from "../asm/assembler.ts";
import type { Code } from "../asm/code.ts";
import { Label } from "../asm/operands.ts";
import type { ExportedFunction } from "../elf/dynamic-symbols.ts";
import type { FunctionFrame } from "../elf/eh-frame.ts";

/** A name under which a function is exported. */
export type ExportedName = Omit<ExportedFunction, "start" | "size">;

export interface Block {
	readonly name: string;
	readonly start: Label;
	readonly end: Label;
	/** Where its frame begins: in front of the function, when that has a lead. */
	readonly frameStart: Label;
	readonly exports: readonly ExportedName[];
	/** Its notes of call frame information, from and to which one. */
	readonly notes: readonly [first: number, behind: number];
}

/** Functions start on a cache line's half, as the kernel's compiler aligns them. */
const FUNCTION_ALIGNMENT = 32;
/** The rest is called rarely, and two pages hold it all. */
const INTERNAL_ALIGNMENT = 16;

export class Blocks {
	readonly #assembler: Assembler;
	readonly #blocks: Block[] = [];

	constructor(assembler: Assembler) {
		this.#assembler = assembler;
	}

	/**
	 * Emits a function.
	 *
	 * @param exports none for one that only the image itself reaches
	 * @param lead emits what stands in front of the function and belongs to its frame
	 */
	emit(name: string, exports: readonly ExportedName[], emit: () => void, lead?: () => void): Block {
		this.#assembler.align(exports.length > 0 ? FUNCTION_ALIGNMENT : INTERNAL_ALIGNMENT);
		const [frameStart, start] = [new Label(`frame of ${name}`), new Label(name)];
		const end = new Label(`end of ${name}`);
		const firstNote = this.#assembler.frameNoteCount;
		this.#assembler.bind(frameStart);
		lead?.();
		this.#assembler.bind(start);
		emit();
		this.#assembler.bind(end);
		const notes = [firstNote, this.#assembler.frameNoteCount] as const;
		const block = { name, frameStart, start, end, exports, notes };
		this.#blocks.push(block);
		return block;
	}

	/** What is exported, with places in the assembled code. */
	functions(code: Code): readonly ExportedFunction[] {
		return this.#blocks.flatMap(({ start, end, exports }) =>
			exports.map((entry) => ({
				name: entry.name,
				binding: entry.binding,
				version: entry.version,
				start: code.offsetOf(start),
				size: code.offsetOf(end) - code.offsetOf(start),
			})),
		);
	}

	frames(code: Code): readonly FunctionFrame[] {
		return this.#blocks.map(({ frameStart, end, notes: [firstNote, behind] }) => {
			const [first, last] = [code.offsetOf(frameStart), code.offsetOf(end)];
			const rules = code.frameNotes
				.slice(firstNote, behind)
				// Behind the last instruction there is nothing to unwind.
				.filter(({ offset }) => offset < last)
				.map((note) => ({ ...note, offset: note.offset - first }));
			return { start: first, length: last - first, rules };
		});
	}
}
