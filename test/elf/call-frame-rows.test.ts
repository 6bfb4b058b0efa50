import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { EMPTY_STATE, FrameBudget, type FrameRow, runInstructions } from "../../src/elf/call-frame-rows.ts";
import { layoutOf } from "../../src/elf/class-layout.ts";
import * as constants from "../../src/elf/constants.ts";
import { DwarfCursor } from "../../src/elf/dwarf-cursor.ts";
import { ElfError } from "../../src/elf/elf-error.ts";
import { ElfView } from "../../src/elf/view.ts";

const RSP = 7;
const RBP = 6;
const RA = 16;

/** Opcodes, and instructions with their operands. */
type Instructions = readonly (number | readonly number[])[];

/** Rows after `def_cfa rsp+8`, with code alignment 1 and data alignment -8. */
const run = (...instructions: Instructions): readonly FrameRow[] => {
	const bytes = Uint8Array.of(constants.DW_CFA_def_cfa, RSP, 8, ...instructions.flat());
	const cursor = new DwarfCursor(new ElfView(bytes, layoutOf(64)), { offset: 0, end: bytes.length }, "test");
	return runInstructions({
		cursor,
		codeAlignment: 1,
		dataAlignment: -8,
		initial: { ...EMPTY_STATE, registers: new Map([[RA, { kind: "offset", offset: -8 }]]) },
		budget: new FrameBudget(1000),
		readLocation: () => Number(cursor.encodedValue(constants.DW_EH_PE_udata4)),
	});
};

const cfas = (rows: readonly FrameRow[]): readonly (readonly [number, number | string, number])[] =>
	rows.map(({ offset, cfa }) => (cfa.kind === "register" ? [offset, cfa.register, cfa.offset] : [offset, cfa.kind, 0]));

const ADVANCE_1 = constants.DW_CFA_advance_loc | 1;

describe("call frame rows", () => {
	const table: readonly (readonly [string, Instructions, readonly (readonly [number, number | string, number])[]])[] = [
		["no instruction gives one row", [], [[0, RSP, 8]]],
		["no advance gives one row", [ADVANCE_1 - 1, constants.DW_CFA_def_cfa_offset, 16], [[0, RSP, 16]]],
		[
			"each width of an advance",
			[
				ADVANCE_1,
				[constants.DW_CFA_advance_loc1, 0xff],
				[constants.DW_CFA_advance_loc2, 0, 1],
				[constants.DW_CFA_advance_loc4, 0, 0, 1, 0],
			],
			[0, 1, 0x100, 0x200, 0x10200].map((offset) => [offset, RSP, 8] as const),
		],
		[
			"set_loc goes to an address",
			[constants.DW_CFA_set_loc, 0x20, 0, 0, 0],
			[
				[0, RSP, 8],
				[0x20, RSP, 8],
			],
		],
		[
			"remember and restore give back the CFA",
			[
				constants.DW_CFA_remember_state,
				ADVANCE_1,
				[constants.DW_CFA_def_cfa, RBP, 16],
				ADVANCE_1,
				constants.DW_CFA_restore_state,
			],
			[
				[0, RSP, 8],
				[1, RBP, 16],
				[2, RSP, 8],
			],
		],
		// libgcrypt.so.20 of Debian 12 does this; libgcc's unwinder keeps the offset too.
		[
			"def_cfa_register after an expression keeps the offset from before it",
			[
				[constants.DW_CFA_def_cfa_offset, 24],
				[constants.DW_CFA_def_cfa_expression, 2, 0x77, 0],
				ADVANCE_1,
				[constants.DW_CFA_def_cfa_register, RBP],
			],
			[
				[0, "expression", 0],
				[1, RBP, 24],
			],
		],
		["signed and factored offsets", [[constants.DW_CFA_def_cfa_sf, RBP, 0x7e]], [[0, RBP, 16]]],
		[
			"operands that say nothing of the frame are skipped",
			[constants.DW_CFA_nop, [constants.DW_CFA_GNU_args_size, 0x80, 1], constants.DW_CFA_GNU_window_save],
			[[0, RSP, 8]],
		],
	];
	for (const [name, instructions, expected] of table) {
		test(name, () => assert.deepEqual(cfas(run(...instructions)), expected));
	}

	test("each kind of register rule", () => {
		const [row] = run(
			[constants.DW_CFA_offset | 3, 2],
			[constants.DW_CFA_offset_extended, 4, 3],
			[constants.DW_CFA_offset_extended_sf, 5, 0x7f],
			[constants.DW_CFA_val_offset, 6, 1],
			[constants.DW_CFA_register, 8, 9],
			[constants.DW_CFA_undefined, 10],
			[constants.DW_CFA_same_value, 11],
			[constants.DW_CFA_expression, 12, 1, 0x96],
			[constants.DW_CFA_val_expression, 13, 1, 0x96],
			[constants.DW_CFA_GNU_negative_offset_extended, 14, 1],
		);
		assert.deepEqual(
			row?.registers,
			new Map<number, unknown>([
				[RA, { kind: "offset", offset: -8 }],
				[3, { kind: "offset", offset: -16 }],
				[4, { kind: "offset", offset: -24 }],
				[5, { kind: "offset", offset: 8 }],
				[6, { kind: "val-offset", offset: -8 }],
				[8, { kind: "register", register: 9 }],
				[10, { kind: "undefined" }],
				[11, { kind: "same-value" }],
				[12, { kind: "expression" }],
				[13, { kind: "val-expression" }],
				[14, { kind: "offset", offset: 8 }],
			]),
		);
	});

	test("restore goes back to the CIE's rule, and rows keep the rules that they had", () => {
		const rows = run(
			[ADVANCE_1, constants.DW_CFA_undefined, RA, constants.DW_CFA_offset | RBP, 2],
			[ADVANCE_1, constants.DW_CFA_restore | RA, constants.DW_CFA_restore | RBP],
		);
		assert.deepEqual(
			rows.map(({ registers }) => [registers.get(RA)?.kind, registers.get(RBP)?.kind]),
			[
				["offset", undefined],
				["undefined", "offset"],
				["offset", undefined],
			],
		);
	});

	for (const [name, instructions, message] of [
		["an unknown instruction", [0x3e], /Call frame instruction 0x3e/],
		["restore_state without remember_state", [constants.DW_CFA_restore_state], /without DW_CFA_remember_state/],
		["an operand cut short", [constants.DW_CFA_def_cfa_offset], /test: ends at 0x4, expected 1 more bytes/],
		["an expression longer than the record", [constants.DW_CFA_def_cfa_expression, 5, 0], /expected 5 more bytes/],
		["register 300", [constants.DW_CFA_undefined, 0xac, 2], /register 300, expected less than 256/],
		["a step back", [ADVANCE_1, constants.DW_CFA_set_loc, 0, 0, 0, 0], /row at 0, expected after 1/],
		[
			"an endless LEB128",
			[constants.DW_CFA_def_cfa_offset, ...Array.from({ length: 8 }, () => 0x80)],
			/more than 7 bytes/,
		],
	] as const) {
		test(`${name} is refused`, () => {
			assert.throws(
				() => run(...instructions),
				(error: unknown) => error instanceof ElfError && message.test(error.message),
			);
		});
	}
});
