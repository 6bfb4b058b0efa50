/**
 * The supervisor on a host without a vDSO (booted with vdso=0), and on one whose vDSO has no room for stage 1.
 *
 * Such a host is made from this one: at each exec stop the entry is taken out of the auxiliary vector before the installer sees
 * the process, and the image is generated for a host that exports nothing.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseInitialStack } from "../../src/auxv/initial-stack.ts";
import type { WallClock } from "../../src/clock/clock.ts";
import { readHostImage } from "../../src/linux/host-vdso.ts";
import { readRegisters } from "../../src/linux/ptrace.ts";
import { Registers } from "../../src/linux/registers.ts";
import { readMemory, writeMemory } from "../../src/linux/remote-memory.ts";
import { spawn } from "../../src/linux/spawn.ts";
import type { ExitStatus } from "../../src/supervisor/exit-status.ts";
import { Installer } from "../../src/supervisor/install/install.ts";
import { Kits } from "../../src/supervisor/install/kits.ts";
import { PageFile } from "../../src/supervisor/install/page-file.ts";
import { Supervisor } from "../../src/supervisor/supervisor.ts";
import { nanoseconds } from "../../src/units.ts";
import type { HostVdso } from "../../src/vdso/host.ts";
import { buildImage } from "../../src/vdso/image.ts";
import { build, type Toolchain } from "../helpers/fixtures.ts";
import { has } from "../helpers/requirements.ts";

const TEN_DAYS: WallClock = { kind: "offset", offset: nanoseconds(864_000_000_000_000n) };
const NO_VDSO: HostVdso = { bits: 64, functions: [], coarse: undefined, fine: undefined, hasRdpid: false };

/** Takes AT_SYSINFO_EHDR out of the auxiliary vector: what follows it moves up. */
const hideVdso = (tid: number): void => {
	const registers = new Registers();
	assert.ok(readRegisters(tid, registers));
	const words = new BigUint64Array(2048);
	const bytes = new Uint8Array(words.buffer);
	const count = readMemory(tid, registers.get("rsp"), bytes);
	const stack = parseInitialStack(words.subarray(0, count >> 3));
	assert.ok(stack !== "more" && stack.ehdrIndex !== undefined);
	const entry = stack.ehdrIndex - 1;
	const end = stack.auxvIndex + 2 * stack.auxvCount;
	words.copyWithin(entry, entry + 2, end);
	writeMemory(tid, registers.get("rsp"), bytes.subarray(0, end * 8));
};

interface World {
	readonly host: HostVdso;
	readonly hidesVdso: boolean;
}

/** Runs a program to its end in this process, which is the tracer. */
const supervise = async (
	command: readonly string[],
	{ host, hidesVdso }: World,
): Promise<{ status: ExitStatus | undefined; reports: string[] }> => {
	const image = buildImage(host);
	const pageFile = new PageFile({ image, clock: TEN_DAYS, taiSeconds: 0n });
	// Without bytes the host's image has no room for stage 1.
	const kits = new Kits({
		host: { vdso: host, bytes: new Uint8Array(0) },
		image,
		pageFile,
		buildNarrow: () => assert.fail("no program here is a 32-bit one"),
	});
	const installer = new Installer({ kits, pageFile });
	const start = installer.start.bind(installer);
	installer.start = (tid) => {
		if (hidesVdso) hideVdso(tid);
		return start(tid);
	};
	const reports: string[] = [];
	const supervisor = new Supervisor({
		installer,
		onFailure: "refuse",
		isMeant: () => true,
		hasForeignChildren: false,
		isHostClock: false,
		mode: "auto",
		page: undefined,
		timeCalls: undefined,
		report: (message) => reports.push(message),
		trace: () => {},
		uncovered: () => {},
		programStarted: () => {},
		jobStop: { programStopped: () => {}, programContinued: () => {} },
	});
	const bytes = command.map((word) => new TextEncoder().encode(word));
	const [file = new Uint8Array(0)] = bytes;
	const program = spawn({
		file,
		args: bytes,
		environment: [],
		descriptors: [0, 1, 2],
		openFilesLimit: undefined,
		filter: undefined,
	});
	assert.equal(supervisor.seize(program.pid), 0);
	program.release();
	while (supervisor.drain() !== "over") await new Promise((resolve) => setTimeout(resolve, 5));
	assert.equal(program.execError, 0);
	return { status: supervisor.status, reports };
};

const WORLDS: readonly (readonly [string, () => World])[] = [
	["without a vDSO", () => ({ host: NO_VDSO, hidesVdso: true })],
	["whose vDSO is full", () => ({ host: readHostImage().vdso, hidesVdso: false })],
];
const TOOLCHAINS: readonly Toolchain[] = ["glibc", "glibc-static", "musl-static"];

for (const [name, world] of WORLDS) {
	for (const toolchain of TOOLCHAINS) {
		test(`a host ${name}: a ${toolchain} program finds our image, its own first bytes, and the shifted clock`, async (t) => {
			if (!has(t, "gcc", "musl-gcc")) return;
			// Exits with 0 when the vDSO's clock is ten days ahead of the system call's, on the stack's and the kernel's auxv.
			const program = build(toolchain, "ten-days-ahead.c");
			const { status, reports } = await supervise([program], world());
			assert.deepEqual(reports, []);
			assert.deepEqual(status, { kind: "exited", exitCode: 0 });
		});
	}
}
