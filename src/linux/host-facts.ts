/** The facts about this host that `vsyscall doctor` judges: found by trying where that is possible. */
import type { HostFacts } from "../doctor/host-checks.ts";
import { STT_FUNC } from "../elf/constants.ts";
import { ownPid } from "./own-pid.ts";
import { readElf } from "../elf/reader.ts";
import { verifyImage } from "../elf/verify.ts";
import { spaceOf } from "../inspect/address-space.ts";
import { readKernelEntry } from "../inspect/kernel-entry.ts";
import { ownHostImage, probeFilter, probeTracing } from "./host-probes.ts";
import { probeHostVsyscall } from "./host-vsyscall.ts";
import { readKernelImage32 } from "./kernel-image32.ts";
import { outerPage } from "./outer-page.ts";
import { readStatusField, readText } from "./proc-file.ts";
import { readAvailableClockSources, readClockSource } from "./time-stamp-counter.ts";
import { tracingObstacle, yamaScope } from "./tracing-obstacle.ts";

const vdsoFacts = (): HostFacts["vdso"] => {
	const image = ownHostImage()?.bytes;
	if (image === undefined) return undefined;
	const names = new Set(
		readElf(image)
			.symbols.filter(({ type }) => type === STT_FUNC)
			.map(({ value }) => value),
	);
	return { functions: names.size, violations: verifyImage(image, "host").map(({ detail }) => detail) };
};

/** "sl" among the VmFlags of the mapping: proc_pid_smaps(5), Linux 6.12. */
const isSealed = (): boolean | undefined => {
	const [, flags] = /\[vdso\]\n(?:[^\n]*\n)*?VmFlags:([^\n]*)/.exec(readText("/proc/self/smaps")) ?? [];
	return flags === undefined ? undefined : flags.trim().split(" ").includes("sl");
};

/** A tracer of ours (strace) would have everything that we start; but that of a run lets go of what a run inside starts. */
const obstacle = (isInRun: boolean): string | undefined => {
	if (isInRun) return undefined;
	const errno = probeTracing();
	const isTraced = Number(readStatusField(ownPid(), "TracerPid") ?? 0) > 0;
	if (errno === 0 && !isTraced) return undefined;
	return tracingObstacle(ownPid(), errno);
};

const entry32 = (): string | undefined => {
	const image = readKernelImage32();
	if (image?.entry === undefined || image.address === undefined) return undefined;
	return readKernelEntry(spaceOf(image.bytes, image.address), image.entry).instruction;
};

/** @throws {SyscallError} when no process can be made. */
export const readHostFacts = (): HostFacts => {
	const isInRun = outerPage() !== undefined;
	const { isAllowed, trapsForTime } = probeFilter();
	return {
		vsyscall: probeHostVsyscall(),
		vdso: vdsoFacts(),
		clockSource: readClockSource(),
		availableClockSources: readAvailableClockSources(),
		trapsForTime,
		tracingObstacle: obstacle(isInRun),
		isFilterAllowed: isAllowed,
		yamaScope: yamaScope(),
		isSealed: isSealed(),
		entry32: entry32(),
		isInRun,
	};
};
