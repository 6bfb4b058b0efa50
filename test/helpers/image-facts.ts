/** What test/fixtures/image-facts.c says under a run. */
import assert from "node:assert/strict";
import { runUnder } from "./vsyscall.ts";

/**
 * Both copies of the auxiliary vector of a program lead to the image, and its mappings have the rights that they are to have.
 *
 * @param address the line with the image's address on the stack
 */
export const assertImageFacts = async (clock: string, program: string, address: RegExp): Promise<void> => {
	const { stdout, stderr, exitCode } = await runUnder(clock, [program]);
	assert.deepEqual([stderr, exitCode], ["", 0]);
	const [stack = "", kernel = "", ...facts] = stdout.trimEnd().split("\n");
	assert.match(stack, address);
	assert.equal(kernel, stack.replace("stack", "kernel"));
	assert.deepEqual(facts, [
		"magic 1",
		"mapping r-xp 1",
		"mapping r--p 0",
		"mapping r--s 1",
		"write EACCES",
		"write and execute EACCES",
	]);
};
