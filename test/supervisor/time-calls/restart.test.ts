/** What an interrupted call becomes: made again as it was, gone on with by restart_syscall, or left with its result. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Registers } from "../../../src/linux/registers.ts";
import type { Architecture } from "../../../src/syscalls/time-calls.ts";
import { restartByHand } from "../../../src/supervisor/time-calls/restart.ts";

const BEHIND = 0x40_1002n;

const restarted = (call: bigint, result: bigint, architecture: Architecture): readonly bigint[] => {
	const registers = new Registers();
	registers.set("orig_rax", call);
	registers.set("rax", result);
	registers.set("rip", BEHIND);
	restartByHand(registers, architecture);
	return [registers.get("rip"), BigInt.asIntN(64, registers.get("rax"))];
};

describe("a call that was interrupted", () => {
	for (const [name, call, result, expected, architecture = "x86-64"] of [
		["with ERESTARTSYS is made again", 0n, -512n, [BEHIND - 2n, 0n]],
		["with ERESTARTNOINTR is made again", 202n, -513n, [BEHIND - 2n, 202n]],
		["with ERESTARTNOHAND is made again", 230n, -514n, [BEHIND - 2n, 230n]],
		["with ERESTART_RESTARTBLOCK goes on", 35n, -516n, [BEHIND - 2n, 219n]],
		["with EINTR is made again where no stop is to be noticed", 232n, -4n, [BEHIND - 2n, 232n]],
		["with EINTR keeps it where it means something", 3n, -4n, [BEHIND, -4n]],
		["and has a result keeps it", 202n, -110n, [BEHIND, -110n]],
		["and is none keeps its registers", -1n, -512n, [BEHIND, -512n]],
		["of i386 with ERESTARTSYS is made again", 3n, -512n, [BEHIND - 2n, 3n], "i386"],
		["of i386 with ERESTART_RESTARTBLOCK goes on", 162n, -516n, [BEHIND - 2n, 0n], "i386"],
		["of i386 with EINTR is made again where no stop is to be noticed", 256n, -4n, [BEHIND - 2n, 256n], "i386"],
		["of i386 with EINTR keeps it where it means something", 0n, -4n, [BEHIND, -4n], "i386"],
	] as const)
		test(name, () => assert.deepEqual(restarted(call, result, architecture), expected));
});
