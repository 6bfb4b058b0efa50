/** Colour on a terminal, and never where NO_COLOR is set (no-color.org). */
import { isatty } from "node:tty";
import { styleText } from "node:util";

const STDOUT = 1;

const isColoured = (): boolean => (process.env["NO_COLOR"] ?? "") === "" && isatty(STDOUT);

/** @param style of util.styleText: "green", "red", "bold" */
export const paint = (style: Parameters<typeof styleText>[0], text: string): string =>
	isColoured() ? styleText(style, text, { validateStream: false }) : text;
