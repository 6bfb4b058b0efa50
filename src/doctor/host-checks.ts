/** What a host allows and serves, each with what to do where it does not. Pure: the facts come from linux/host-facts.ts. */
import type { HostMode } from "../vsyscall/mode.ts";

export interface HostFacts {
	/** As a child found it. */
	readonly vsyscall: HostMode;
	/** The kernel's vDSO; undefined where there is none. */
	readonly vdso: { readonly functions: number; readonly violations: readonly string[] } | undefined;
	/** "" where nobody tells. */
	readonly clockSource: string;
	readonly availableClockSources: readonly string[];
	/** Reading the clock makes a system call; undefined when that could not be tried. */
	readonly trapsForTime: boolean | undefined;
	/** Why no program can be traced; undefined when one can. */
	readonly tracingObstacle: string | undefined;
	readonly isFilterAllowed: boolean;
	/** kernel.yama.ptrace_scope; undefined on kernels without Yama. */
	readonly yamaScope: number | undefined;
	/** The kernel's mappings cannot be moved or replaced; undefined where /proc does not tell. */
	readonly isSealed: boolean | undefined;
	/** How 32-bit programs enter the kernel. */
	readonly entry32: string | undefined;
	/** This process is one of a run. */
	readonly isInRun: boolean;
}

export interface Check {
	/** Stable: a key of the JSON. */
	readonly name: string;
	readonly state: "ok" | "problem";
	readonly finding: string;
	/** Of a problem. */
	readonly remedy?: string;
}

const ok = (name: string, finding: string): Check => ({ name, state: "ok", finding });
const problem = (name: string, finding: string, remedy: string): Check => ({ name, state: "problem", finding, remedy });

const VSYSCALL_FINDINGS: Readonly<Record<HostMode, string>> = {
	emulate: "emulate: calls are answered, and the page can be read",
	xonly: "xonly: calls are answered, and nothing else of the page can be used",
	none: "none: a program that calls it ends with SIGSEGV (139)",
};

const vsyscallPage = ({ vsyscall }: HostFacts): Check => {
	const finding = VSYSCALL_FINDINGS[vsyscall];
	if (vsyscall !== "none") return ok("vsyscall page", finding);
	return problem("vsyscall page", finding, "vsyscall run -- PROGRAM serves it for one program, without a reboot");
};

const vdso = ({ vdso: image }: HostFacts): Check => {
	if (image === undefined) {
		const remedy = "boot without vdso=0; programs under vsyscall run have one all the same";
		return problem("vDSO", "none: every read of the clock is a system call", remedy);
	}
	const [violation] = image.violations;
	if (violation === undefined) return ok("vDSO", `${image.functions} functions, and the image keeps all rules`);
	const remedy = "please report this kernel; vsyscall inspect --host --dump FILE writes the image";
	return problem("vDSO", `the image breaks a rule: ${violation}`, remedy);
};

const clockSource = ({ clockSource: source, availableClockSources, trapsForTime }: HostFacts): Check => {
	const name = source === "" ? "unknown" : source;
	if (trapsForTime === undefined)
		return ok("clock source", `${name}; whether reads are system calls could not be tried`);
	if (!trapsForTime) return ok("clock source", `${name}: reads stay in user space`);
	const better = availableClockSources.filter((available) => available === "tsc" || available === "kvm-clock");
	const remedy =
		better[0] === undefined
			? "this machine has no faster one; vsyscall run --reads=coarse -- PROGRAM reads to the kernel's tick without a call"
			: `echo ${better[0]} >/sys/devices/system/clocksource/clocksource0/current_clocksource, as root`;
	return problem("clock source", `${name}: every read is a system call`, remedy);
};

const ptrace = ({ tracingObstacle, isInRun }: HostFacts): Check => {
	if (tracingObstacle === undefined) {
		return ok("ptrace", isInRun ? "allowed; this is a process of a run already" : "allowed");
	}
	return problem("ptrace", "refused: programs cannot be run", tracingObstacle);
};

const seccomp = ({ isFilterAllowed }: HostFacts): Check => {
	if (isFilterAllowed) return ok("seccomp", "filters are allowed");
	const remedy = "allow seccomp(2), in a container by a profile; a run under the host's clock goes without";
	return problem("seccomp", "filters are refused: raw system calls and the vsyscall page cannot be covered", remedy);
};

const YAMA_FINDINGS: Readonly<Record<number, string>> = {
	0: "scope 0: no restriction",
	1: "scope 1: children may be traced, which is all that a run does",
};

const yama = ({ yamaScope, tracingObstacle }: HostFacts): Check => {
	if (yamaScope === undefined) return ok("Yama", "not in this kernel");
	const finding = YAMA_FINDINGS[yamaScope];
	if (finding !== undefined) return ok("Yama", finding);
	if (yamaScope === 2 && tracingObstacle === undefined) return ok("Yama", "scope 2: this user has CAP_SYS_PTRACE");
	if (yamaScope === 2) {
		return problem("Yama", "scope 2: tracing needs CAP_SYS_PTRACE", "sysctl kernel.yama.ptrace_scope=1, as root");
	}
	return problem(
		"Yama",
		`scope ${yamaScope}: nobody may trace until the next boot`,
		"boot with kernel.yama.ptrace_scope=1",
	);
};

const sealing = ({ isSealed }: HostFacts): Check => {
	if (isSealed === undefined) return ok("sealed mappings", "/proc does not tell");
	return ok("sealed mappings", isSealed ? "sealed, which runs do not mind: the kernel's mappings stay" : "not sealed");
};

const entry32 = ({ entry32: instruction, isInRun }: HostFacts): Check => {
	if (instruction !== undefined) return ok("32-bit entry", `${instruction}, by __kernel_vsyscall`);
	if (isInRun) return ok("32-bit entry", "not tried inside of a run");
	const remedy = "boot with ia32_emulation=1 (a kernel with CONFIG_IA32_EMULATION), if you need them";
	return problem("32-bit entry", "32-bit programs cannot be executed", remedy);
};

/** In the order in which they are shown. */
export const checkHostFacts = (facts: HostFacts): readonly Check[] =>
	[vsyscallPage, vdso, clockSource, ptrace, seccomp, yama, sealing, entry32].map((check) => check(facts));
