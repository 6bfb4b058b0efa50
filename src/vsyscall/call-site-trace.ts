/**
 * What a call was made through: from the call backwards to the operand that its target was read from.
 *
 * Registers are those of the moment at which the page was entered. The page changes none but rax, so a register tells what it held
 * at an earlier instruction as long as nothing in between has written it.
 */
import { ByteReader } from "../bytes.ts";
import type { Caller, GeneralRegister } from "./call-site.ts";
import type { EffectiveAddress, Operand, Step } from "./call-site-decode.ts";

export type Location =
	| { readonly kind: "immediate" | "immediate64" | "pointer"; readonly address: bigint }
	/** The call led to this code. */
	| { readonly kind: "code"; readonly address: bigint };

export class Trace {
	readonly #caller: Caller;
	/** The call or jump first, then backwards in time. */
	readonly #steps: readonly Step[];
	/** What the call itself has taken from rsp. */
	readonly #pushed: bigint;

	/** @param steps as readBackwards and readToJump give them */
	constructor(caller: Caller, steps: readonly Step[]) {
		this.#caller = caller;
		this.#steps = steps;
		this.#pushed = steps[0]?.flow === "call" ? 8n : 0n;
	}

	/** undefined where it cannot be told. */
	find(): Location | undefined {
		const target = this.#steps[0]?.target;
		return target === undefined ? undefined : this.#locate(target, 1);
	}

	/** @param from the first step that was executed before the operand was used */
	#locate(operand: Operand, from: number): Location | undefined {
		if (operand.kind === "immediate" || operand.kind === "immediate64") return operand;
		if (operand.kind === "register") return this.#locateRegister(operand.name, from);
		const address = this.#effective(operand, from);
		return address === undefined ? undefined : { kind: operand.kind === "memory" ? "pointer" : "code", address };
	}

	#locateRegister(name: GeneralRegister, from: number): Location | undefined {
		const move = this.#moveBefore(name, from);
		if (move !== undefined) return move.operand === undefined ? undefined : this.#locate(move.operand, move.at + 1);
		const address = this.#held(name, from);
		return address === undefined ? undefined : { kind: "code", address };
	}

	#effective({ base, index, scale, displacement }: EffectiveAddress, from: number): bigint | undefined {
		const [first, second] = [base, index].map((name) => (name === undefined ? 0n : this.#value(name, from)));
		if (first === undefined || second === undefined) return undefined;
		return BigInt.asUintN(64, first + second * BigInt(scale) + displacement);
	}

	/** What a register held in front of the step before `from`. */
	#value(name: GeneralRegister, from: number): bigint | undefined {
		const held = this.#held(name, from);
		if (held !== undefined) return held;
		const move = this.#moveBefore(name, from);
		if (move?.operand === undefined) return undefined;
		const location = this.#locate(move.operand, move.at + 1);
		if (location === undefined || location.kind === "code") return location?.address;
		const size = location.kind === "immediate" ? 4 : 8;
		const bytes = this.#caller.read(location.address, size);
		if (bytes.length < size) return undefined;
		const reader = new ByteReader(bytes);
		return size === 4 ? BigInt(reader.i32(0)) : reader.u64(0);
	}

	/** The last step before `from` that wrote a register; its operand is undefined where it computed the value. */
	#moveBefore(name: GeneralRegister, from: number): { at: number; operand: Operand | undefined } | undefined {
		const at = this.#steps.findIndex((step, index) => index >= from && step.writes.has(name));
		return at < 0 ? undefined : { at, operand: this.#steps[at]?.move };
	}

	/** The register as it is, if nothing has written it since. */
	#held(name: GeneralRegister, from: number): bigint | undefined {
		if (this.#steps.slice(1, from).some((step) => step.writes.has(name))) return undefined;
		const value = this.#caller.register(name);
		return value !== undefined && name === "rsp" ? BigInt.asUintN(64, value + this.#pushed) : value;
	}
}
