/** The tests of one program: under each clock, and natively to compare with. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { has } from "../helpers/requirements.ts";
import { type Finished, native, type RunSettings, runUnder } from "../helpers/vsyscall.ts";
import {
	assertReadings,
	bracketOf,
	type ClockCase,
	cleanOutput,
	hostClock,
	parseReadings,
	PROGRAM_CLOCKS,
	readHostTimes,
	shapeOf,
} from "./programs-clocks.ts";

export interface Program {
	readonly name: string;
	/** What must be installed. */
	readonly needs: readonly string[];
	/** Called in the test, when everything is installed. */
	readonly command: () => readonly string[];
	/** How many readings it prints. */
	readonly readings: number;
	readonly settings?: RunSettings;
	/** @default PROGRAM_CLOCKS */
	readonly clocks?: readonly ClockCase[];
}

/** Runs the program and checks its readings. @returns what it printed */
const checkRun = async (program: Program, clock: ClockCase, run: () => Promise<Finished>): Promise<string> => {
	const before = readHostTimes();
	const stdout = cleanOutput(await run());
	const bracket = bracketOf(before, readHostTimes());
	const readings = parseReadings(stdout);
	assert.equal(readings.length, program.readings, stdout);
	assertReadings(readings, clock, bracket);
	return stdout;
};

/** Registers the tests of a program. */
export const testProgram = (program: Program): void => {
	for (const clock of program.clocks ?? PROGRAM_CLOCKS) {
		test(`${program.name} shows the time of ${clock.spec}`, { timeout: 120_000 }, async (t) => {
			if (!has(t, ...program.needs)) return;
			const command = program.command();
			await checkRun(program, clock, () => runUnder(clock.spec, command, program.settings));
		});
	}
	test(`${program.name} shows under the host's clock what it shows natively`, { timeout: 120_000 }, async (t) => {
		if (!has(t, ...program.needs)) return;
		const command = program.command();
		const expected = await checkRun(program, hostClock, () => native(command, program.settings));
		const shown = await checkRun(program, hostClock, () => runUnder("host", command, program.settings));
		assert.equal(shapeOf(shown), shapeOf(expected));
	});
};
