/**
 * What a patched call site of the vsyscall page calls: the three entries, on the clock of the image.
 *
 * They keep what the kernel's own emulation keeps: every register but rax, and the flags. A pointer that no program can have sends
 * the call to the page itself, where the supervisor answers as the kernel does. Other bad pointers fault at one of the stores
 * below; the supervisor knows them all (`PageEntries.stores`) and turns the fault into the page's.
 *
 *     frame, from rsp:  flags | r11 r10 r9 r8 rdx rcx | rax, at the end the result | return address
 */
import { Label, memory, ripRelative } from "../asm/operands.ts";
import { eax, ecx, edi, esi, r8, r9, r10, r11, rax, rcx, rdi, rdx, rsi, rsp } from "../asm/registers.ts";
import { VSYSCALLS, type VsyscallNumber } from "../vsyscall/page.ts";
import { CALL } from "../observation/calls.ts";
import { CLOCK_REALTIME, CLOCK_REALTIME_COARSE, SYSCALLS } from "./host.ts";
import { emitMicroseconds } from "./gettimeofday.ts";
import { emitCalled, emitEntryLeft } from "./observer/hooks.ts";
import { type Emission, emitReadWall, emitTrap } from "./wall.ts";

const WORD = 8;
const SAVED = [rcx, rdx, r8, r9, r10, r11] as const;

/** Offsets in the frame of an entry, in bytes from rsp. */
export const ENTRY_FRAME = {
	flags: 0,
	r11: 8,
	r10: 16,
	r9: 24,
	r8: 32,
	rdx: 40,
	rcx: 48,
	rax: 56,
	returnAddress: 64,
} as const;

/** A store of an entry through a pointer of the program's. The stack pointer is at the frame there. */
export interface EntryStore {
	readonly number: VsyscallNumber;
	readonly label: Label;
}

export interface PageEntries {
	readonly starts: readonly [Label, Label, Label];
	readonly stores: readonly EntryStore[];
}

/** Bits that are set in an address outside of user space: arch/x86/include/asm/page_64_types.h, TASK_SIZE_MAX with 4 levels. */
const USER_ADDRESS_BITS = 47;

class EntryEmitter {
	readonly #emission: Emission;
	readonly #pageWords: Label;
	readonly stores: EntryStore[] = [];
	#number: VsyscallNumber = 0;
	#outOfLine: () => void = () => {};

	/** @param pageWords where the addresses of the page's entries stand, one after the other */
	constructor(emission: Emission, pageWords: Label) {
		this.#emission = emission;
		this.#pageWords = pageWords;
	}

	/** Saves everything, and leaves for the page itself when one of the pointers is none. */
	enter(number: VsyscallNumber): void {
		const { assembler } = this.#emission;
		const toPage = assembler.label("to the page");
		const good = assembler.label("good pointers");
		assembler.push(rax);
		assembler.cfaOffset(2 * WORD);
		SAVED.forEach((register, index) => {
			assembler.push(register);
			assembler.cfaOffset((index + 3) * WORD);
		});
		// lahf has all flags that arithmetic changes but OF, which goes to al. popf would cost as much as everything else here.
		assembler.raw(0x9f);
		assembler.raw(0x0f, 0x90, 0xc0);
		assembler.push(rax);
		assembler.cfaOffset((SAVED.length + 3) * WORD);
		assembler.mov(rcx, rdi);
		if (VSYSCALLS[number].name !== "time") assembler.or(rcx, rsi);
		assembler.shr(rcx, USER_ADDRESS_BITS);
		assembler.jcc("z", good);
		assembler.bind(toPage);
		this.#restore();
		assembler.jmp(ripRelative(this.#pageWords, number * WORD));
		assembler.bind(good);
		assembler.cfaOffset((SAVED.length + 3) * WORD);
		this.#number = number;
		this.#outOfLine = emitCalled(this.#emission, { call: CALL.page + number }, (SAVED.length + 3) * WORD);
	}

	/** Everything as it was, but for rax, which is what its place in the frame holds. */
	#restore(): void {
		const { assembler } = this.#emission;
		assembler.pop(rax);
		assembler.cfaOffset((SAVED.length + 2) * WORD);
		// add $127, %al: overflows when al is 1. sahf: the rest. No pop changes a flag.
		assembler.raw(0x04, 0x7f);
		assembler.raw(0x9e);
		SAVED.toReversed().forEach((register, index) => {
			assembler.pop(register);
			assembler.cfaOffset((SAVED.length + 1 - index) * WORD);
		});
		assembler.pop(rax);
		assembler.cfaOffset(WORD);
	}

	/** @param result 0, or "rax" */
	leave(result: 0 | "rax"): void {
		const { assembler } = this.#emission;
		if (result === 0) assembler.xor(eax, eax);
		emitEntryLeft(this.#emission, this.#number, ENTRY_FRAME.returnAddress);
		assembler.mov(memory(rsp, ENTRY_FRAME.rax), rax);
		this.#restore();
		assembler.ret();
		assembler.cfaOffset((SAVED.length + 3) * WORD);
	}

	/** Emits what is out of line of the entry; stands behind its last instruction. */
	end(): void {
		this.#outOfLine();
	}

	/** Marks the next instruction as a store through a pointer of the program's. */
	store(number: VsyscallNumber): void {
		const label = new Label("store");
		this.#emission.assembler.bind(label);
		this.stores.push({ number, label });
	}
}

const emitGettimeofdayEntry = (emission: Emission, entry: EntryEmitter): void => {
	const { assembler, links } = emission;
	const [timezone, failed] = [assembler.label("time zone"), assembler.label("failed")];
	const [trap, store] = [assembler.label("trap"), assembler.label("store")];
	entry.enter(0);
	assembler.test(rdi, rdi);
	assembler.jcc("z", timezone);
	const outOfLine = emitReadWall(emission, { clock: CLOCK_REALTIME, failed, trap });
	emitMicroseconds(emission);
	assembler.bind(store);
	entry.store(0);
	assembler.mov(memory(rdi), rdx);
	entry.store(0);
	assembler.mov(memory(rdi, 8), rax);
	assembler.bind(timezone);
	const onlyTime = assembler.label("only time");
	assembler.test(rsi, rsi);
	assembler.jcc("z", onlyTime);
	// The host stores the zone into our frame, so that a bad pointer faults here.
	const FRAME = { rdi: 8, rsi: 16, size: 24 } as const;
	assembler.sub(rsp, FRAME.size);
	assembler.cfaOffset((SAVED.length + 3) * WORD + FRAME.size);
	assembler.mov(memory(rsp, FRAME.rdi), rdi);
	assembler.mov(memory(rsp, FRAME.rsi), rsi);
	assembler.xor(edi, edi);
	assembler.mov(rsi, rsp);
	assembler.call(ripRelative(links.own("gettimeofday")));
	assembler.mov(rdi, memory(rsp, FRAME.rdi));
	assembler.mov(rsi, memory(rsp, FRAME.rsi));
	assembler.mov(rcx, memory(rsp));
	assembler.add(rsp, FRAME.size);
	assembler.cfaOffset((SAVED.length + 3) * WORD);
	entry.store(0);
	assembler.mov(memory(rsi), rcx);
	assembler.bind(onlyTime);
	entry.leave(0);

	outOfLine();
	assembler.bind(trap);
	// Into our frame, so that a bad pointer faults at the stores and is not EFAULT. The kernel keeps r8 and r9.
	const TIMEVAL_SIZE = 16;
	assembler.mov(r8, rdi);
	assembler.mov(r9, rsi);
	assembler.sub(rsp, TIMEVAL_SIZE);
	assembler.cfaOffset((SAVED.length + 3) * WORD + TIMEVAL_SIZE);
	assembler.mov(rdi, rsp);
	assembler.xor(esi, esi);
	emitTrap(emission, SYSCALLS.gettimeofday);
	assembler.mov(rdi, r8);
	assembler.mov(rsi, r9);
	assembler.mov(rdx, memory(rsp));
	assembler.mov(rcx, memory(rsp, WORD));
	assembler.add(rsp, TIMEVAL_SIZE);
	assembler.cfaOffset((SAVED.length + 3) * WORD);
	assembler.test(rax, rax);
	assembler.jcc("nz", failed);
	assembler.mov(rax, rcx);
	assembler.jmp(store);
	assembler.bind(failed);
	entry.leave("rax");
};

const emitTimeEntry = (emission: Emission, entry: EntryEmitter): void => {
	const { assembler } = emission;
	const [failed, noPointer] = [assembler.label("failed"), assembler.label("no pointer")];
	const [trap, answered] = [assembler.label("trap"), assembler.label("answered")];
	entry.enter(1);
	const outOfLine = emitReadWall(emission, {
		clock: CLOCK_REALTIME_COARSE,
		failed,
		trap,
	});
	assembler.mov(rax, rdx);
	assembler.bind(answered);
	assembler.test(rdi, rdi);
	assembler.jcc("z", noPointer);
	entry.store(1);
	assembler.mov(memory(rdi), rax);
	assembler.bind(noPointer);
	assembler.bind(failed);
	entry.leave("rax");
	outOfLine();
	assembler.bind(trap);
	assembler.mov(r8, rdi);
	assembler.xor(edi, edi);
	emitTrap(emission, SYSCALLS.time);
	assembler.mov(rdi, r8);
	assembler.jmp(answered);
};

const NODE_SHIFT = 12;

const emitGetcpuEntry = (emission: Emission, entry: EntryEmitter): void => {
	const { assembler, links, host } = emission;
	const [noCpu, noNode] = [assembler.label("no cpu"), assembler.label("no node")];
	entry.enter(2);
	if (host.hasRdpid) {
		assembler.rdpid(rax);
		assembler.mov(ecx, eax);
		assembler.and(ecx, (1 << NODE_SHIFT) - 1);
		assembler.shr(eax, NODE_SHIFT);
	} else {
		const FRAME = { cpu: 0, node: 4, rdi: 8, rsi: 16, size: 24 } as const;
		assembler.sub(rsp, FRAME.size);
		assembler.cfaOffset((SAVED.length + 3) * WORD + FRAME.size);
		assembler.mov(memory(rsp, FRAME.rdi), rdi);
		assembler.mov(memory(rsp, FRAME.rsi), rsi);
		assembler.mov(rdi, rsp);
		assembler.lea(rsi, memory(rsp, FRAME.node));
		assembler.xor(eax, eax);
		assembler.mov(rdx, rax);
		assembler.call(ripRelative(links.own("getcpu")));
		assembler.mov(ecx, memory(rsp, FRAME.cpu));
		assembler.mov(eax, memory(rsp, FRAME.node));
		assembler.mov(rdi, memory(rsp, FRAME.rdi));
		assembler.mov(rsi, memory(rsp, FRAME.rsi));
		assembler.add(rsp, FRAME.size);
		assembler.cfaOffset((SAVED.length + 3) * WORD);
	}
	assembler.test(rdi, rdi);
	assembler.jcc("z", noCpu);
	entry.store(2);
	assembler.mov(memory(rdi), ecx);
	assembler.bind(noCpu);
	assembler.test(rsi, rsi);
	assembler.jcc("z", noNode);
	entry.store(2);
	assembler.mov(memory(rsi), eax);
	assembler.bind(noNode);
	entry.leave(0);
};

/** @param pageWords where the addresses of the page's entries stand, one after the other */
export const emitPageEntries = (
	emission: Emission,
	pageWords: Label,
	block: (name: string, emit: () => void) => Label,
): PageEntries => {
	const entry = new EntryEmitter(emission, pageWords);
	const emitWhole = (emit: typeof emitTimeEntry): void => {
		emit(emission, entry);
		entry.end();
	};
	return {
		starts: [
			block("entry gettimeofday", () => emitWhole(emitGettimeofdayEntry)),
			block("entry time", () => emitWhole(emitTimeEntry)),
			block("entry getcpu", () => emitWhole(emitGetcpuEntry)),
		],
		stores: entry.stores,
	};
};
