/**
 * Runs call frame instructions into rows: how to find the caller's frame, from each code offset on (DWARF 5 section 6.4.2).
 *
 * A row shares its map of register rules with the next row until an instruction changes one. A small hostile program could
 * still ask for many large copies, so rules that get copied and rows are charged to a `FrameBudget` of the whole file.
 */
import * as constants from "./constants.ts";
import type { DwarfCursor } from "./dwarf-cursor.ts";
import { ElfError, hex } from "./elf-error.ts";

/** Where the canonical frame address is: the stack pointer of the caller before the call. */
export type CfaRule =
	| { readonly kind: "register"; readonly register: number; readonly offset: number }
	/** A DWARF expression, which is not evaluated. */
	| { readonly kind: "expression" };

/** Where the caller's value of a register is. Offsets are from the canonical frame address. */
export type RegisterRule =
	/** Saved at an offset. */
	| { readonly kind: "offset"; readonly offset: number }
	/** The value is the address at an offset. */
	| { readonly kind: "val-offset"; readonly offset: number }
	| { readonly kind: "register"; readonly register: number }
	/** DWARF expressions, which are not evaluated. */
	| { readonly kind: "expression" | "val-expression" }
	| { readonly kind: "undefined" | "same-value" };

export interface FrameRow {
	/** Bytes from the start of the function; the row holds up to the next one. */
	readonly offset: number;
	readonly cfa: CfaRule;
	/** By DWARF register number. A register that is not in it keeps its value or is of no interest to the caller. */
	readonly registers: ReadonlyMap<number, RegisterRule>;
}

/** The number of cells, rows and copied rules, that the frames of a file may have. */
export class FrameBudget {
	#left: number;

	constructor(cells: number) {
		this.#left = cells;
	}

	spend(cells: number, offset: number): void {
		this.#left -= cells;
		if (this.#left < 0) throw new ElfError(offset, "Call frames are larger when read than their file allows");
	}
}

/** An expression hides the register and the offset but does not change them: a later instruction may go back to them. */
interface CfaState {
	/** undefined before the first rule. */
	readonly register: number | undefined;
	readonly offset: number;
	readonly isExpression: boolean;
}

export interface FrameState {
	readonly cfa: CfaState;
	readonly registers: ReadonlyMap<number, RegisterRule>;
}

export interface FrameProgram {
	readonly cursor: DwarfCursor;
	readonly codeAlignment: number;
	readonly dataAlignment: number;
	/** The state at the first instruction, and what DW_CFA_restore goes back to. */
	readonly initial: FrameState;
	readonly budget: FrameBudget;
	/** Turns the operand of DW_CFA_set_loc into an offset from the start of the function. */
	readonly readLocation: () => number;
}

export const EMPTY_STATE: FrameState = {
	cfa: { register: undefined, offset: 0, isExpression: false },
	registers: new Map(),
};

/** x86-64 has 131 (psABI figure 3.36), arm64 128. */
const REGISTER_LIMIT = 256;

const PRIMARY_OPCODE_MASK = 0xc0;

class FrameMachine {
	readonly rows: FrameRow[] = [];
	readonly #program: FrameProgram;
	readonly #remembered: FrameState[] = [];
	#location = 0;
	#cfa: CfaState;
	#registers: ReadonlyMap<number, RegisterRule>;
	/** The same map as #registers while no row, saved state or CIE has it. */
	#own: Map<number, RegisterRule> | undefined;

	constructor(program: FrameProgram) {
		this.#program = program;
		this.#cfa = program.initial.cfa;
		this.#registers = program.initial.registers;
	}

	get state(): FrameState {
		return { cfa: this.#cfa, registers: this.#registers };
	}

	/** Ends the row that began at the last location. */
	finishRow(): void {
		const { budget, cursor } = this.#program;
		budget.spend(1, cursor.offset);
		this.#own = undefined;
		if (this.rows.at(-1)?.offset === this.#location) this.rows.pop();
		this.rows.push({ offset: this.#location, cfa: this.#cfaRow(), registers: this.#registers });
	}

	#cfaRow(): CfaRule {
		const { register, offset, isExpression } = this.#cfa;
		if (isExpression) return { kind: "expression" };
		if (register !== undefined) return { kind: "register", register, offset };
		throw new ElfError(this.#program.cursor.offset, "A call frame row without a rule for the CFA");
	}

	run(): void {
		const { cursor } = this.#program;
		while (!cursor.isAtEnd) {
			const opcode = cursor.u8();
			const operand = opcode & ~PRIMARY_OPCODE_MASK;
			switch (opcode & PRIMARY_OPCODE_MASK) {
				case constants.DW_CFA_advance_loc:
					this.#advance(operand);
					break;
				case constants.DW_CFA_offset:
					this.#set(operand, { kind: "offset", offset: this.#factored(cursor.uleb128()) });
					break;
				case constants.DW_CFA_restore:
					this.#restore(operand);
					break;
				default:
					if (!this.#locationRule(opcode) && !this.#cfaRule(opcode) && !this.#registerRule(opcode)) this.#state(opcode);
			}
		}
	}

	#advance(delta: number): void {
		this.#moveTo(this.#location + delta * this.#program.codeAlignment);
	}

	#moveTo(location: number): void {
		const { offset } = this.#program.cursor;
		if (!Number.isSafeInteger(location) || location < this.#location) {
			throw new ElfError(offset, `A call frame row at ${location}, expected after ${this.#location}`);
		}
		this.finishRow();
		this.#location = location;
	}

	#factored(value: number): number {
		const offset = value * this.#program.dataAlignment;
		if (Number.isSafeInteger(offset)) return offset;
		throw new ElfError(this.#program.cursor.offset, `Call frame offset ${offset}, expected less than 2^53`);
	}

	#set(register: number, rule: RegisterRule | undefined): void {
		const { budget, cursor } = this.#program;
		if (register >= REGISTER_LIMIT) {
			throw new ElfError(cursor.offset, `Call frame register ${register}, expected less than ${REGISTER_LIMIT}`);
		}
		if (this.#own === undefined) {
			budget.spend(this.#registers.size, cursor.offset);
			this.#own = new Map(this.#registers);
			this.#registers = this.#own;
		}
		if (rule === undefined) this.#own.delete(register);
		else this.#own.set(register, rule);
	}

	#restore(register: number): void {
		this.#set(register, this.#program.initial.registers.get(register));
	}

	#setCfa(register: number, offset: number): void {
		this.#cfa = { register, offset, isExpression: false };
	}

	#skipExpression(): void {
		const { cursor } = this.#program;
		cursor.skip(cursor.uleb128());
	}

	#locationRule(opcode: number): boolean {
		const { cursor, readLocation } = this.#program;
		switch (opcode) {
			case constants.DW_CFA_set_loc:
				this.#moveTo(readLocation());
				return true;
			case constants.DW_CFA_advance_loc1:
				this.#advance(cursor.u8());
				return true;
			case constants.DW_CFA_advance_loc2:
				this.#advance(cursor.u16());
				return true;
			case constants.DW_CFA_advance_loc4:
				this.#advance(cursor.u32());
				return true;
			default:
				return false;
		}
	}

	#cfaRule(opcode: number): boolean {
		const { cursor } = this.#program;
		switch (opcode) {
			case constants.DW_CFA_def_cfa:
				this.#setCfa(cursor.uleb128(), cursor.uleb128());
				return true;
			case constants.DW_CFA_def_cfa_sf:
				this.#setCfa(cursor.uleb128(), this.#factored(cursor.sleb128()));
				return true;
			case constants.DW_CFA_def_cfa_register:
				this.#setCfa(cursor.uleb128(), this.#cfa.offset);
				return true;
			case constants.DW_CFA_def_cfa_offset:
				this.#cfa = { ...this.#cfa, offset: cursor.uleb128() };
				return true;
			case constants.DW_CFA_def_cfa_offset_sf:
				this.#cfa = { ...this.#cfa, offset: this.#factored(cursor.sleb128()) };
				return true;
			case constants.DW_CFA_def_cfa_expression:
				this.#skipExpression();
				this.#cfa = { ...this.#cfa, isExpression: true };
				return true;
			default:
				return false;
		}
	}

	#registerRule(opcode: number): boolean {
		const { cursor } = this.#program;
		switch (opcode) {
			case constants.DW_CFA_offset_extended:
				this.#set(cursor.uleb128(), { kind: "offset", offset: this.#factored(cursor.uleb128()) });
				return true;
			case constants.DW_CFA_offset_extended_sf:
				this.#set(cursor.uleb128(), { kind: "offset", offset: this.#factored(cursor.sleb128()) });
				return true;
			case constants.DW_CFA_GNU_negative_offset_extended:
				this.#set(cursor.uleb128(), { kind: "offset", offset: -this.#factored(cursor.uleb128()) });
				return true;
			case constants.DW_CFA_val_offset:
				this.#set(cursor.uleb128(), { kind: "val-offset", offset: this.#factored(cursor.uleb128()) });
				return true;
			case constants.DW_CFA_val_offset_sf:
				this.#set(cursor.uleb128(), { kind: "val-offset", offset: this.#factored(cursor.sleb128()) });
				return true;
			case constants.DW_CFA_register:
				this.#set(cursor.uleb128(), { kind: "register", register: cursor.uleb128() });
				return true;
			case constants.DW_CFA_restore_extended:
				this.#restore(cursor.uleb128());
				return true;
			case constants.DW_CFA_undefined:
				this.#set(cursor.uleb128(), { kind: "undefined" });
				return true;
			case constants.DW_CFA_same_value:
				this.#set(cursor.uleb128(), { kind: "same-value" });
				return true;
			case constants.DW_CFA_expression:
				this.#set(cursor.uleb128(), { kind: "expression" });
				this.#skipExpression();
				return true;
			case constants.DW_CFA_val_expression:
				this.#set(cursor.uleb128(), { kind: "val-expression" });
				this.#skipExpression();
				return true;
			default:
				return false;
		}
	}

	#state(opcode: number): void {
		const { cursor } = this.#program;
		switch (opcode) {
			case constants.DW_CFA_nop:
			// On arm64 the same number says that the return address is signed from here on; on x86 it does not occur.
			case constants.DW_CFA_GNU_window_save:
				return;
			case constants.DW_CFA_GNU_args_size:
				cursor.uleb128();
				return;
			case constants.DW_CFA_remember_state:
				this.#own = undefined;
				this.#remembered.push(this.state);
				return;
			case constants.DW_CFA_restore_state: {
				const state = this.#remembered.pop();
				if (state === undefined)
					throw new ElfError(cursor.offset, "DW_CFA_restore_state without DW_CFA_remember_state");
				this.#cfa = state.cfa;
				this.#registers = state.registers;
				this.#own = undefined;
				return;
			}
			default:
				throw new ElfError(cursor.offset - 1, `Call frame instruction ${hex(opcode)}, expected one of DW_CFA_*`);
		}
	}
}

/** The state after the initial instructions of a CIE. */
export const runInitialInstructions = (program: FrameProgram): FrameState => {
	const machine = new FrameMachine(program);
	machine.run();
	return machine.state;
};

/** The rows of an FDE: at least one, at offset 0, in ascending order of their offsets. */
export const runInstructions = (program: FrameProgram): readonly FrameRow[] => {
	const machine = new FrameMachine(program);
	machine.run();
	machine.finishRow();
	return machine.rows;
};
