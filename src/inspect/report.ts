/** All that `vsyscall inspect` says of one target. */
import type { Nanoseconds } from "../units.ts";
import type { HostMode } from "../vsyscall/mode.ts";
import type { AddressSpace, Mapping } from "./address-space.ts";
import type { Layer } from "./layer.ts";
import type { VvarReport } from "./vvar-report.ts";

export type Target =
	/** The kernel's layer, as every new process gets it. */
	| { readonly kind: "host" }
	| {
			readonly kind: "process";
			readonly pid: number;
			readonly command: readonly string[];
			readonly emptiness: "kernel thread" | "ended" | undefined;
			readonly tracer: { readonly pid: number; readonly name: string } | undefined;
	  }
	| { readonly kind: "core"; readonly path: string; readonly pid: number | undefined; readonly command: string }
	| { readonly kind: "file"; readonly path: string };

export interface TimeNamespaceReport {
	readonly id: string;
	/** The one that we are in ourselves. */
	readonly isOurs: boolean;
	/** What it adds to CLOCK_MONOTONIC and CLOCK_BOOTTIME. */
	readonly monotonic: Nanoseconds;
	readonly boottime: Nanoseconds;
}

export interface Report {
	readonly target: Target;
	readonly layer: Layer;
	readonly mappings: readonly Mapping[];
	readonly memory: AddressSpace;
	/** What the clock of an image of ours shows now; undefined where there is none, or its page is of another time. */
	readonly clockTime: Nanoseconds | undefined;
	/** The kernel's page, the same for all processes; "unknown" when its layout is not recognised. */
	readonly vvar: VvarReport | "unknown" | undefined;
	readonly timeNamespace: TimeNamespaceReport | undefined;
	/** What the host does with the vsyscall page. */
	readonly hostVsyscall: HostMode | undefined;
}
