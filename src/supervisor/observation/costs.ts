/** What the calls of a run cost on this machine without us: measured with the host's own vDSO and kernel, each once. */
import { type CostArgument, type CostedCall, measureCall } from "../../linux/call-cost.ts";
import { readHostImage } from "../../linux/host-vdso.ts";
import { hostVdsoRange } from "../../linux/maps.ts";
import { measureNarrowCall, type NarrowCall } from "../../linux/narrow-call-cost.ts";
import { ownPid } from "../../linux/own-pid.ts";
import { type Call, keyOfCall } from "../../observation/calls.ts";
import { type HostFunction, kernelVsyscallOffset, SYSCALLS, SYSCALLS_I386 } from "../../vdso/host.ts";

/** syscall_32.tbl; the image of 32-bit programs leaves it to the host's. */
const NARROW_SYSCALLS = { ...SYSCALLS_I386, clock_getres: 266 } as const;

type CostedName = keyof typeof SYSCALLS | keyof typeof NARROW_SYSCALLS;
const isCosted = (name: string): name is CostedName => name in SYSCALLS || name in NARROW_SYSCALLS;

const argumentsOf = (name: CostedName, clock: number): readonly [CostArgument, CostArgument] => {
	switch (name) {
		case "clock_gettime":
		case "clock_gettime64":
		case "clock_getres":
			return [clock, "memory"];
		case "gettimeofday":
			return ["memory", 0];
		case "time":
			return [0, 0];
		case "getcpu":
			return ["memory", "memory"];
	}
};

const find = (functions: readonly HostFunction[], name: string): HostFunction | undefined =>
	functions.find((found) => found.name === `__vdso_${name}`);

export class Costs {
	readonly #host = readHostImage().vdso.functions;
	readonly #narrowHost: readonly HostFunction[];
	readonly #start = hostVdsoRange(ownPid())?.start;
	readonly #known = new Map<string, number | undefined>();

	/** @param narrowHost what the host's vDSO of 32-bit programs exports, where such programs have run */
	constructor(narrowHost: readonly HostFunction[] = []) {
		this.#narrowHost = narrowHost;
	}

	/** Nanoseconds of one call; undefined for those that are not measured. A call of the page costs what the vDSO's function does. */
	of(call: Call): number | undefined {
		const { name, clock = 0, way, bits } = call;
		if (!isCosted(name) || clock === "other") return undefined;
		const key = keyOfCall({ ...call, way: way === "page" ? "vdso" : way });
		if (this.#known.has(key)) return this.#known.get(key);
		const args = argumentsOf(name, clock);
		const cost =
			bits === 64
				? measureCall({ target: this.#target(name, way), arguments: args })
				: this.#measureNarrow(name, way, args);
		this.#known.set(key, cost);
		return cost;
	}

	#target(name: CostedName, way: Call["way"]): CostedCall["target"] {
		const entry = find(this.#host, name);
		const number = name === "clock_gettime64" ? SYSCALLS.clock_gettime : SYSCALLS[name];
		if (way === "syscall" || entry === undefined || this.#start === undefined) return { number };
		return { address: this.#start + BigInt(entry.offset) };
	}

	#measureNarrow(name: CostedName, way: Call["way"], args: NarrowCall["arguments"]): number | undefined {
		const clock = find(this.#narrowHost, "clock_gettime64");
		if (clock === undefined) return undefined;
		const entry = way === "syscall" ? undefined : find(this.#narrowHost, name);
		const target = entry === undefined ? { number: NARROW_SYSCALLS[name] } : { offset: entry.offset };
		return measureNarrowCall(
			{ target, arguments: args },
			{ clock: clock.offset, kernelVsyscall: kernelVsyscallOffset({ functions: this.#narrowHost }) },
		);
	}
}
