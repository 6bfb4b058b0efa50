/**
 * Memory files: made, filled, mapped and sealed.
 *
 * F_SEAL_FUTURE_WRITE keeps the mapping that exists writable and refuses every other way to write: so only the supervisor can
 * push, whoever gets hold of a descriptor (Linux 5.1; older kernels go without).
 */
import { closeSync, openSync } from "node:fs";
import * as linux from "./constants.ts";
import { addressOf, checkedSyscall, rawSyscall, syscallResult, viewMemory } from "./ffi.ts";
import { SyscallError } from "./syscall-error.ts";

const EINVAL = 22;
const EFBIG = 27;
const RLIM_INFINITY = 0xffff_ffff_ffff_ffffn;

/** What /proc/PID/maps shows as /memfd:vsyscall. NUL-terminated. */
export const MEMORY_FILE_NAME: Uint8Array = new TextEncoder().encode("vsyscall\0");

/** @throws {SyscallError} when there is no descriptor or no memory left. */
export const createMemoryFile = (): number => {
	const flags = linux.MFD_CLOEXEC | linux.MFD_ALLOW_SEALING;
	// Says that nobody will execve the file, which hosts with vm.memfd_noexec demand; unknown before Linux 6.3.
	const made = rawSyscall(linux.SYS_memfd_create, MEMORY_FILE_NAME, flags | linux.MFD_NOEXEC_SEAL);
	if (made >= 0) return Number(made);
	return Number(checkedSyscall("memfd_create", linux.SYS_memfd_create, MEMORY_FILE_NAME, flags));
};

/** @param limits soft and hard; left as they are where that is not allowed */
const limitFileSizes = (limits: readonly [bigint, bigint]): boolean =>
	syscallResult(linux.SYS_prlimit64, 0, linux.RLIMIT_FSIZE, new BigUint64Array(limits), 0) >= 0;

/**
 * Memory files count against the limit of file sizes (ulimit -f), which is meant for the program's files: it is lifted meanwhile, as
 * far as it may be.
 */
const withoutSizeLimit = (write: () => number): number => {
	const limits = new BigUint64Array(2);
	syscallResult(linux.SYS_prlimit64, 0, linux.RLIMIT_FSIZE, 0, limits);
	const [soft = 0n, hard = 0n] = limits;
	if (!limitFileSizes([RLIM_INFINITY, RLIM_INFINITY])) limitFileSizes([hard, hard]);
	try {
		return write();
	} finally {
		limitFileSizes([soft, hard]);
	}
};

/**
 * Writes all of `bytes` at `offset`.
 *
 * @throws {SyscallError} ENOSPC: no memory; EFBIG: a hard limit of file sizes (ulimit -f), which needs CAP_SYS_RESOURCE to be passed.
 */
export const fillFile = (fd: number, bytes: Uint8Array, offset: number): void => {
	let done = 0;
	while (done < bytes.length) {
		const rest = bytes.subarray(done);
		const write = (): number => syscallResult(linux.SYS_pwrite64, fd, rest, rest.length, offset + done);
		const first = write();
		const written = first === -EFBIG ? withoutSizeLimit(write) : first;
		if (written < 0) throw new SyscallError("pwrite64 of a memory file", -written);
		done += written;
	}
};

/** Maps `length` bytes of the file, shared and writable, for as long as this process lives. */
export const mapShared = (fd: number, offset: number, length: number): Uint8Array => {
	const protection = linux.PROT_READ | linux.PROT_WRITE;
	const pointer = checkedSyscall("mmap", linux.SYS_mmap, 0, length, protection, linux.MAP_SHARED, fd, offset);
	return viewMemory(BigInt(pointer), length);
};

/** Takes a mapping back. Nobody may use the bytes any more. */
export const unmap = (bytes: Uint8Array): void => {
	syscallResult(linux.SYS_munmap, addressOf(bytes), bytes.length);
};

/** Maps machine code, executable and not writable. @returns its address */
export const mapCode = (code: Uint8Array): bigint => {
	const fd = createMemoryFile();
	fillFile(fd, code, 0);
	const protection = linux.PROT_READ | linux.PROT_EXEC;
	const pointer = checkedSyscall("mmap", linux.SYS_mmap, 0, code.length, protection, linux.MAP_PRIVATE, fd, 0);
	closeSync(fd);
	return BigInt(pointer);
};

/**
 * A file to execute, which has no name and is gone with its last descriptor.
 *
 * @returns a descriptor that only reads: what can be written is busy (ETXTBSY)
 * @throws {SyscallError} EACCES: the host wants no memory file executed (vm.memfd_noexec=2).
 */
export const createProgramFile = (bytes: Uint8Array): number => {
	const flags = linux.MFD_CLOEXEC;
	let made = rawSyscall(linux.SYS_memfd_create, MEMORY_FILE_NAME, flags | linux.MFD_EXEC);
	if (made === -EINVAL) made = checkedSyscall("memfd_create", linux.SYS_memfd_create, MEMORY_FILE_NAME, flags);
	if (made < 0) throw new SyscallError("memfd_create(MFD_EXEC)", -Number(made));
	const fd = Number(made);
	fillFile(fd, bytes, 0);
	const readable = openSync(`/proc/self/fd/${fd}`, "r");
	closeSync(fd);
	return readable;
};

/** Takes the right to write from everybody but the mappings that exist. */
export const sealAgainstWriting = (fd: number): void => {
	const size = linux.F_SEAL_SEAL | linux.F_SEAL_SHRINK | linux.F_SEAL_GROW;
	if (rawSyscall(linux.SYS_fcntl, fd, linux.F_ADD_SEALS, size | linux.F_SEAL_FUTURE_WRITE) === -EINVAL) {
		rawSyscall(linux.SYS_fcntl, fd, linux.F_ADD_SEALS, size);
	}
};
