/**
 * The link page: one page per process, right behind the image, with the addresses that differ from process to process.
 *
 * It is to the image what the global offset table is to a shared object: filled once at install, then read-only. Word n, as wide as an
 * address of the class, is the address of the n-th function below; behind them stands where the host keeps its clocks.
 */
import type { Label } from "../asm/operands.ts";
import { Label as CodeLabel } from "../asm/operands.ts";
import { VSYSCALL_ADDR, VSYSCALLS, type VsyscallNumber } from "../vsyscall/page.ts";
import {
	type HostFunction,
	type HostVdso,
	KERNEL_SIGRETURNS,
	KERNEL_VSYSCALL,
	kernelVsyscallOffset,
	type OwnFunction,
	type OwnFunctionI386,
	SYSCALLS,
	SYSCALLS_I386,
} from "./host.ts";

/** Where a word of the page points to. */
export type LinkTarget =
	| { readonly kind: "host"; readonly offset: number }
	/** The host exports no such function: a stub of ours makes the system call. */
	| { readonly kind: "syscall"; readonly number: number }
	/** The entry page of this process (vsyscall/entry-page.ts), or 0. */
	| { readonly kind: "entry-page" }
	/** An entry of the vsyscall page. */
	| { readonly kind: "address"; readonly address: bigint };

export interface LinkWord {
	readonly label: Label;
	readonly target: LinkTarget;
	/** Offset in the link page. */
	readonly offset: number;
}

export class LinkPage {
	readonly #words = new Map<string, LinkWord>();
	readonly #wordSize: number;
	/** The host's functions beyond those that we write ourselves, once each. */
	readonly forwarded: readonly HostFunction[];
	/** Where the host keeps its clocks, and how far that is from the start of its image; the image itself when nobody knows. */
	readonly hostClocks: LinkWord;
	readonly hostClocksOffset: number;
	/** The host's __kernel_vsyscall, in 32-bit images on a host that has one. */
	readonly kernelVsyscall: LinkWord | undefined;
	/** Only where the vsyscall page is served: the entry page, then the addresses of the page's entries. */
	readonly entryPage: LinkWord | undefined;
	readonly pageWords: LinkWord | undefined;

	constructor(host: HostVdso, hasEntryPage = false) {
		this.#wordSize = host.bits / 8;
		const hostFunction = (name: string): HostFunction | undefined =>
			host.functions.find((entry) => entry.name === `__vdso_${name}`) ??
			host.functions.find((entry) => entry.name === name);
		const own = Object.entries(host.bits === 64 ? SYSCALLS : SYSCALLS_I386);
		for (const [name, number] of own) {
			const entry = hostFunction(name);
			this.#add(name, entry === undefined ? { kind: "syscall", number } : { kind: "host", offset: entry.offset });
		}
		const written = new Set<string>([
			...own.flatMap(([name]) => [name, `__vdso_${name}`]),
			...(host.bits === 64 ? [] : [KERNEL_VSYSCALL, ...KERNEL_SIGRETURNS]),
		]);
		this.forwarded = host.functions.filter((entry) => !written.has(entry.name));
		for (const entry of this.forwarded) {
			if (!this.#words.has(forwardKey(entry))) this.#add(forwardKey(entry), { kind: "host", offset: entry.offset });
		}
		this.hostClocksOffset = (host.fine ?? host.coarse)?.sequence ?? 0;
		this.hostClocks = this.#add("host clocks", { kind: "host", offset: this.hostClocksOffset });
		const kernelVsyscall = kernelVsyscallOffset(host);
		if (kernelVsyscall !== undefined)
			this.kernelVsyscall = this.#add(KERNEL_VSYSCALL, { kind: "host", offset: kernelVsyscall });
		if (!hasEntryPage) return;
		this.entryPage = this.#add("entry page", { kind: "entry-page" });
		const [first] = VSYSCALLS.map(({ name }, number) =>
			this.#add(`page:${name}`, { kind: "address", address: VSYSCALL_ADDR(number as VsyscallNumber) }),
		);
		this.pageWords = first;
	}

	#add(name: string, target: LinkTarget): LinkWord {
		const word = { label: new CodeLabel(`link:${name}`), target, offset: this.length };
		this.#words.set(name, word);
		return word;
	}

	/** Bytes that the words take. */
	get length(): number {
		return this.#words.size * this.#wordSize;
	}

	get words(): Iterable<LinkWord> {
		return this.#words.values();
	}

	/** The forwarded functions with their aliases, by where the host has them. */
	get forwardedFunctions(): readonly (readonly [HostFunction, ...HostFunction[]])[] {
		const byOffset = new Map<number, [HostFunction, ...HostFunction[]]>();
		for (const entry of this.forwarded) {
			const aliases = byOffset.get(entry.offset);
			if (aliases === undefined) byOffset.set(entry.offset, [entry]);
			else aliases.push(entry);
		}
		return [...byOffset.values()];
	}

	/** The word that holds the address of the host's function that one of ours stands for. */
	own(name: OwnFunction | OwnFunctionI386): Label {
		return this.#label(name);
	}

	/** The word that holds the address of a forwarded function; aliases share one. */
	forward(entry: HostFunction): Label {
		return this.#label(forwardKey(entry));
	}

	#label(name: string): Label {
		const word = this.#words.get(name);
		if (word === undefined) throw new RangeError(`The link page has no word for ${name}`);
		return word.label;
	}
}

const forwardKey = (entry: HostFunction): string => `+${entry.offset}`;
