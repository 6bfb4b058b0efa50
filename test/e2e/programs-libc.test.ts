/** Compiled programs under a clock: each libc and each way of linking, both classes, Go, busybox, Java. */
import { build, type Toolchain } from "../helpers/fixtures.ts";
import { type ClockCase, NARROW_CLOCKS, PROGRAM_CLOCKS } from "./programs-clocks.ts";
import { testProgram } from "./programs-table.ts";

const LIBC: readonly (readonly [name: string, compiler: string, toolchain: Toolchain])[] = [
	["C with glibc", "gcc", "glibc"],
	["C with static glibc", "gcc", "glibc-static"],
	["C with static-pie glibc", "gcc", "glibc-static-pie"],
	["C with musl", "musl-gcc", "musl"],
	["C with static musl", "musl-gcc", "musl-static"],
];

for (const [name, compiler, toolchain] of LIBC) {
	testProgram({
		name,
		needs: [compiler],
		command: () => [build(toolchain, "clock-readings.c")],
		readings: 30,
	});
}

for (const [name, toolchain, clocks] of [
	["C with 32-bit glibc", "glibc-32", NARROW_CLOCKS],
	["C with static 32-bit glibc", "glibc-32-static", NARROW_CLOCKS],
	["C with 32-bit glibc and 64-bit times", "glibc-32-time64", PROGRAM_CLOCKS],
] as const satisfies readonly (readonly [string, Toolchain, readonly ClockCase[]])[]) {
	testProgram({ name, needs: ["gcc"], command: () => [build(toolchain, "clock-readings.c")], readings: 30, clocks });
}

testProgram({
	name: "static 32-bit Go",
	needs: ["go"],
	command: () => [build("go-386", "clock-readings.go")],
	readings: 6,
});

testProgram({
	name: "static Go",
	needs: ["go"],
	command: () => [build("go", "clock-readings.go")],
	readings: 6,
});

testProgram({
	name: "static busybox",
	needs: ["busybox"],
	command: () => [
		"busybox",
		"sh",
		"-c",
		"busybox date -u '+coarse %s'; busybox date -u '+coarse %Y-%m-%dT%H:%M:%SZ'; (busybox date -u '+coarse %s' | busybox cat)",
	],
	readings: 3,
});

testProgram({
	name: "OpenJDK",
	needs: ["java", "javac"],
	command: () => ["java", "-XX:TieredStopAtLevel=1", "-cp", build("java", "clock-readings.java"), "ClockReadings"],
	readings: 8,
});
