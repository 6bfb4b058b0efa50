/** getcpu(cpu, node, unused): as ../getcpu.ts. */
import { memory } from "../../asm/operands.ts";
import { eax, ecx, edx } from "../../asm/registers.ts";
import { CALL_I386 } from "../../observation/calls.ts";
import { NODE_SHIFT } from "../getcpu.ts";
import { argumentAtEntry, type Emission, labelsOf } from "./emission.ts";
import { emitForward } from "./forward.ts";
import { emitCalled } from "./observer/hooks.ts";

export const emitGetcpu = (emission: Emission): void => {
	const { assembler, links, host } = emission;
	assembler.endbr();
	const countOutOfLine = emitCalled(emission, { call: CALL_I386.getcpu });
	if (!host.hasRdpid) {
		emitForward(emission, links.own("getcpu"));
		return countOutOfLine();
	}
	const [noCpu, noNode] = labelsOf(assembler, "no cpu", "no node");
	assembler.rdpid(eax);
	assembler.mov(edx, argumentAtEntry(0));
	assembler.test(edx, edx);
	assembler.jcc("z", noCpu);
	assembler.mov(ecx, eax);
	assembler.and(ecx, (1 << NODE_SHIFT) - 1);
	assembler.mov(memory(edx), ecx);
	assembler.bind(noCpu);
	assembler.mov(edx, argumentAtEntry(1));
	assembler.test(edx, edx);
	assembler.jcc("z", noNode);
	assembler.shr(eax, NODE_SHIFT);
	assembler.mov(memory(edx), eax);
	assembler.bind(noNode);
	assembler.xor(eax, eax);
	assembler.ret();
	countOutOfLine();
};
