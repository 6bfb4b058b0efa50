/**
 * getcpu(cpu rdi, node rsi, unused rdx).
 *
 * IA32_TSC_AUX holds node << 12 | cpu (arch/x86/include/asm/segment.h, vdso_read_cpunode). Without RDPID the host's function
 * is called: it knows the segment whose limit has the same value.
 */
import { memory, ripRelative } from "../asm/operands.ts";
import { eax, ecx, rax, rdi, rsi } from "../asm/registers.ts";
import { CALL } from "../observation/calls.ts";
import { emitCalled } from "./observer/hooks.ts";
import type { Emission } from "./wall.ts";

export const NODE_SHIFT = 12;

export const emitGetcpu = (emission: Emission): void => {
	const { assembler, links, host } = emission;
	assembler.endbr();
	const countOutOfLine = emitCalled(emission, { call: CALL.getcpu });
	if (!host.hasRdpid) {
		assembler.jmp(ripRelative(links.own("getcpu")));
		return countOutOfLine();
	}
	const noCpu = assembler.label("no cpu");
	const noNode = assembler.label("no node");
	assembler.rdpid(rax);
	assembler.test(rdi, rdi);
	assembler.jcc("z", noCpu);
	assembler.mov(ecx, eax);
	assembler.and(ecx, (1 << NODE_SHIFT) - 1);
	assembler.mov(memory(rdi), ecx);
	assembler.bind(noCpu);
	assembler.test(rsi, rsi);
	assembler.jcc("z", noNode);
	assembler.shr(eax, NODE_SHIFT);
	assembler.mov(memory(rsi), eax);
	assembler.bind(noNode);
	assembler.xor(eax, eax);
	assembler.ret();
	countOutOfLine();
};
