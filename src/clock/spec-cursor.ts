import { ClockSpecError } from "./clock-spec-error.ts";

/** A place in the text of a clock spec. Patterns must be sticky (`/…/y`), so that they match at the place only. */
export class SpecCursor {
	readonly input: string;
	/** What the text is, in the words of an error. */
	readonly #subject: string;
	#position = 0;

	constructor(input: string, subject = "clock spec") {
		this.input = input;
		this.#subject = subject;
	}

	get position(): number {
		return this.#position;
	}

	get isAtEnd(): boolean {
		return this.#position === this.input.length;
	}

	/** The text here that matches, or undefined. The place stays. */
	peek(pattern: RegExp): string | undefined {
		pattern.lastIndex = this.#position;
		return pattern.exec(this.input)?.[0];
	}

	/** The text here that matches, or undefined; the place moves behind it. */
	take(pattern: RegExp): string | undefined {
		const text = this.peek(pattern);
		this.#position += text?.length ?? 0;
		return text;
	}

	/** The text from here to the next space; empty at a space and at the end. */
	word(): string {
		return this.peek(/[^ ]*/y) ?? "";
	}

	/** An error to throw, at the place or at `position`. */
	error(reason: string, example: string, position: number = this.#position): ClockSpecError {
		return new ClockSpecError({ subject: this.#subject, input: this.input, position, reason, example });
	}
}
