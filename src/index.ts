/**
 * vsyscall: Linux's fast system-call layer for one process at a time.
 *
 * `spawn` starts a program under a clock; `createClock` makes one that many programs share and that can be steered. The rest are the parts that it is made of, usable on their own: clock specs and the
 * arithmetic of the virtual wall clock, the reader of ELF files, the generator of the vDSO image and the rules that it keeps.
 *
 * @packageDocumentation
 */
export { type ClockAnchor, anchorClock, type WallClock, wallTime } from "./clock/clock.ts";
export { ClockSpecError } from "./clock/clock-spec-error.ts";
export { driftOfRate, driftRate } from "./clock/drift.ts";
export { type CalendarDuration } from "./clock/duration.ts";
export { parseDuration } from "./clock/duration-grammar.ts";
export { isoInstant } from "./clock/iso.ts";
export { type ClockMotion } from "./clock/motion.ts";
export { type ClockBase, type ClockSpec, followedFile, formatClockSpec, parseClockSpec } from "./clock/spec.ts";
export { advance, freeze, resume, setDrift, setWall } from "./clock/steering.ts";
export { type ProgramOptions, spawn } from "./client.ts";
export { ElfError } from "./elf/elf-error.ts";
export { type ElfFile, readElf } from "./elf/reader.ts";
export { verifyImage } from "./elf/verify.ts";
export { type ErrorCode, VsyscallError } from "./errors.ts";
export { type HostImage, readHostImage } from "./linux/host-vdso.ts";
export { type Member } from "./clock-file/members.ts";
export {
	type Clock,
	type ClockState,
	createClock,
	type DurationLike,
	type Instant,
	listClocks,
	openClock,
	type TimeLike,
} from "./named-clock.ts";
export { IO_URING_WAYS, type IoUringWay, parseIoUringWay } from "./syscalls/io-uring-way.ts";
export { type Nanoseconds, nanoseconds } from "./units.ts";
export { type HostVdso } from "./vdso/host.ts";
export { buildImage, type Image, type ImageRequest } from "./vdso/image.ts";
export { type PageSupport } from "./vdso/page-support.ts";
export { FAST_ENTRIES, type FastEntry, parseFastEntry } from "./vdso/fast-entry.ts";
export { parseReads, READS, type Reads } from "./vdso/reads.ts";
export { type HostMode, type Mode, MODES, parseMode, type RequestedMode } from "./vsyscall/mode.ts";
export {
	isInVsyscallPage,
	VSYSCALL_ADDR,
	VSYSCALL_END,
	VSYSCALL_MAPPED_PAGES,
	VSYSCALL_NUMBERS,
	VSYSCALL_PAGE_SIZE,
	VSYSCALL_SIZE,
	VSYSCALL_START,
	type VsyscallNumber,
	VSYSCALLS,
	vsyscallAt,
	vsyscallPage,
} from "./vsyscall/page.ts";
