/**
 * The modes of the page, as the kernel parameter `vsyscall=` names them, and what each asks of the supervisor on a host.
 *
 *     mode      a call      another address   a read    a bad pointer
 *     native    served      the stub's bytes  works     -EFAULT
 *     emulate   served      SIGSEGV           works     SIGSEGV
 *     xonly     served      SIGSEGV           SIGSEGV   SIGSEGV
 *     none      SIGSEGV     SIGSEGV           SIGSEGV   -
 *
 * The kernel had `native` from 3.1 to 4.16, `xonly` since 5.3 (docs/modes.md).
 */
import { VsyscallError } from "../errors.ts";

export const MODES = ["native", "emulate", "xonly", "none"] as const;
export type Mode = (typeof MODES)[number];

/** `auto` serves the page where the host does not, and otherwise leaves the host's behaviour. */
export type RequestedMode = "auto" | Mode;
export const REQUESTED_MODES: readonly RequestedMode[] = ["auto", ...MODES];

/** What a host does with the page by itself. */
export type HostMode = Exclude<Mode, "native">;

/** @throws {VsyscallError} ERR_VSYSCALL_MODE when the name is unknown. */
export const parseMode = (name: string): RequestedMode => {
	const mode = REQUESTED_MODES.find((known) => known === name);
	if (mode !== undefined) return mode;
	throw new VsyscallError(
		"ERR_VSYSCALL_MODE",
		`unknown vsyscall mode "${name}": give native, emulate, xonly or none (or auto, the default)`,
	);
};

/** How the page is given to the processes of a run. */
export interface PagePolicy {
	/** What they see. */
	readonly mode: Mode;
	readonly host: HostMode;
	/** A seccomp filter stops every call to the page; otherwise a call arrives as SIGSEGV. */
	readonly tracesCalls: boolean;
	/** A SIGSEGV may have to be taken back, so what a process has set for that signal must be known. */
	readonly tracesSegvActions: boolean;
	/** Call sites are patched when they have trapped. */
	readonly patches: boolean;
	/** What the copy of the page is for. */
	readonly copy: "none" | "readable" | "executable";
}

export interface PolicyRequest {
	readonly requested: RequestedMode;
	readonly host: HostMode;
	/** The time of the run is the host's. */
	readonly isHostClock: boolean;
	readonly patches: boolean;
}

const modeOf = (requested: RequestedMode, host: HostMode): Mode => {
	if (requested !== "auto") return requested;
	return host === "none" ? "xonly" : host;
};

const copyFor = (mode: Mode, host: HostMode): PagePolicy["copy"] => {
	if (mode === "native") return "executable";
	return mode === "emulate" && host !== "emulate" ? "readable" : "none";
};

/** The policy of a run; undefined when the host does by itself what was asked for. */
export const decidePolicy = ({ requested, host, isHostClock, patches }: PolicyRequest): PagePolicy | undefined => {
	const mode = modeOf(requested, host);
	const isDoneByHost = mode === host && isHostClock && (requested === "auto" || !patches);
	if (isDoneByHost || (mode === "none" && host === "none")) return undefined;
	const copy = copyFor(mode, host);
	return {
		mode,
		host,
		tracesCalls: host !== "none",
		tracesSegvActions: mode !== "none" && (host === "none" || copy !== "none"),
		patches: patches && mode !== "none",
		copy,
	};
};

/** What a host cannot be kept from doing, in a line for the user; undefined when the mode is complete. */
export const incompleteness = ({ mode, host }: PagePolicy): string | undefined =>
	host === "emulate" && (mode === "xonly" || mode === "none")
		? `this host was booted with vsyscall=emulate, so the page stays readable under --vsyscall=${mode}; everything else is as asked (boot with vsyscall=xonly or none to close it)`
		: undefined;
