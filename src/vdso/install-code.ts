/** What stage 2 of the install is written in: system calls with arguments, places in the image, fields of the frame, in either class. */
import type { Assembler } from "../asm/assembler.ts";
import { anchored, type Label, type Memory } from "../asm/operands.ts";
import { eax, type Register } from "../asm/registers.ts";
import type { OwnCall } from "../syscalls/numbers.ts";
import { frameField } from "./install-frame.ts";
import { argumentRegister, callNumber, emitCallInstruction } from "./system-call.ts";

/** An argument of a system call. "kept": what its register holds already. */
export type CallArgument =
	| number
	| Register
	/** The 32 bits, or the word, in memory. */
	| { readonly int: Memory }
	| { readonly word: Memory }
	/** The address of memory. */
	| { readonly pointer: Memory }
	/** The address of a place in the image or behind it, or its distance from the start of the image. */
	| { readonly addressOf: Label }
	| { readonly distanceOf: Label }
	| "kept";

export class InstallCode {
	readonly assembler: Assembler;
	/** The first byte of the image. */
	readonly #image: Label;

	constructor(assembler: Assembler, image: Label) {
		this.assembler = assembler;
		this.#image = image;
	}

	/** A place in the image or behind it, while a register holds the address of the image. */
	place(image: Register, label: Label): Memory {
		return anchored({ register: image, label: this.#image }, label);
	}

	/** to := the address of a place in the image or behind it. */
	address(to: Register, label: Label): void {
		this.assembler.mov(to, frameField(this.assembler, "image"));
		this.assembler.lea(to, this.place(to, label));
	}

	/** rax := the result of a system call. The arguments are taken one after the other. */
	call(name: OwnCall, ...args: readonly CallArgument[]): void {
		args.forEach((argument, index) => this.#load(index, argument));
		this.assembler.mov(eax, callNumber(this.assembler, name));
		emitCallInstruction(this.assembler);
	}

	#load(index: number, argument: CallArgument): void {
		const { assembler } = this;
		const { word, half } = argumentRegister(assembler, index);
		if (argument === "kept") return;
		if (argument === 0) return assembler.xor(half, half);
		if (typeof argument === "number") return assembler.mov(half, argument);
		if ("int" in argument) return assembler.mov(half, argument.int);
		if ("word" in argument) return assembler.mov(word, argument.word);
		if ("pointer" in argument) return assembler.lea(word, argument.pointer);
		if ("addressOf" in argument) return this.address(word, argument.addressOf);
		if (!("distanceOf" in argument)) return assembler.mov(argument.width === word.width ? word : half, argument);
		assembler.xor(half, half);
		assembler.lea(word, this.place(word, argument.distanceOf));
	}
}
