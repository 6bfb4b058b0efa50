/** siginfo_t of a stopped tracee, as PTRACE_GETSIGINFO gives it: include/uapi/asm-generic/siginfo.h, 128 bytes. */
import { ByteReader, setU32, setU64 } from "../bytes.ts";

const SIZE = 128;
const OFFSET = { signo: 0, errno: 4, code: 8, address: 16 } as const;

export class SignalInfo {
	readonly bytes: Uint8Array = new Uint8Array(SIZE);
	readonly #reader = new ByteReader(this.bytes);

	get signal(): number {
		return this.#reader.u32(OFFSET.signo);
	}

	set signal(signal: number) {
		setU32(this.bytes, OFFSET.signo, signal);
	}

	/** si_code */
	get code(): number {
		return this.#reader.i32(OFFSET.code);
	}

	set code(code: number) {
		setU32(this.bytes, OFFSET.code, code);
	}

	/** si_addr, of a fault */
	get address(): bigint {
		return this.#reader.u64(OFFSET.address);
	}

	set address(address: bigint) {
		setU64(this.bytes, OFFSET.address, address);
	}

	/** Whether the kernel has raised it, and no process: sigaction(2), "The si_code field". */
	get isFromKernel(): boolean {
		return this.code > 0;
	}
}
