/** Names of clocks: what a file may be called everywhere, and what no clock spec looks like. */
import { ClockSpecError } from "../clock/clock-spec-error.ts";
import { parseClockSpec } from "../clock/spec.ts";

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

const isSpec = (text: string): boolean => {
	try {
		parseClockSpec(text);
		return true;
	} catch (error) {
		if (error instanceof ClockSpecError) return false;
		throw error;
	}
};

export const isClockName = (text: string): boolean => NAME.test(text) && !isSpec(text);
