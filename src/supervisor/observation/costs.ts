/** What the calls of a run cost on this machine without us: measured with the host's own vDSO and kernel, each once. */
import { type CostArgument, type CostedCall, measureCall } from "../../linux/call-cost.ts";
import { readHostImage } from "../../linux/host-vdso.ts";
import { hostVdsoRange } from "../../linux/maps.ts";
import { type Call, keyOfCall } from "../../observation/calls.ts";
import { type OwnFunction, SYSCALLS } from "../../vdso/host.ts";
import { ownPid } from "../../linux/own-pid.ts";

const isOwn = (name: string): name is OwnFunction => name in SYSCALLS;

const argumentsOf = (name: OwnFunction, clock: number): readonly [CostArgument, CostArgument] => {
	switch (name) {
		case "clock_gettime":
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

export class Costs {
	readonly #host = readHostImage().vdso.functions;
	readonly #start = hostVdsoRange(ownPid())?.start;
	readonly #known = new Map<string, number>();

	/** Nanoseconds of one call; undefined for those that are not measured. A call of the page costs what the vDSO's function does. */
	of(call: Call): number | undefined {
		const { name, clock = 0, way } = call;
		if (!isOwn(name) || clock === "other") return undefined;
		const key = keyOfCall({ ...call, way: way === "page" ? "vdso" : way });
		const known = this.#known.get(key);
		if (known !== undefined) return known;
		const cost = measureCall({ target: this.#target(name, way), arguments: argumentsOf(name, clock) });
		this.#known.set(key, cost);
		return cost;
	}

	#target(name: OwnFunction, way: Call["way"]): CostedCall["target"] {
		const entry = this.#host.find((found) => found.name === `__vdso_${name}`);
		if (way === "syscall" || entry === undefined || this.#start === undefined) return { number: SYSCALLS[name] };
		return { address: this.#start + BigInt(entry.offset) };
	}
}
