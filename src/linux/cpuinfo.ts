/** /proc/cpuinfo: proc_cpuinfo(5). */
import { readText } from "./proc-file.ts";

let cpuinfo: string | undefined;

/** Read once: it has a paragraph for every processor, whose frequency the kernel goes to ask. "" where there is none. */
export const readCpuinfo = (): string => (cpuinfo ??= readText("/proc/cpuinfo"));

/** Whether the first processor has a feature, by the kernel's word for it: arch/x86/include/asm/cpufeatures.h. */
export const hasFlag = (text: string, flag: string): boolean =>
	new RegExp(`^flags\\s*:.*\\b${flag}\\b`, "m").test(text);
