/** The observation file of a run (observation/layout.ts), and the processes that have it. */
import { randomBytes } from "node:crypto";
import { availableParallelism } from "node:os";
import { ByteReader, setU64 } from "../../bytes.ts";
import { createMemoryFile, fillFile, mapShared } from "../../linux/memfd.ts";
import { descriptorPath } from "../../linux/proc-file.ts";
import * as layout from "../../observation/layout.ts";
import type { ObservedFrame } from "../install/frame.ts";

export class ObservationFile {
	readonly layout: layout.ObservationLayout;
	readonly fd: number;
	/** All of it. Processes of the run write to it at any time. */
	readonly bytes: Uint8Array;
	readonly #path: Uint8Array;
	readonly #nonce: bigint;

	/** @throws {SyscallError} when there is no descriptor or no memory left. */
	constructor(observation: layout.Observation) {
		this.layout = layout.layOutObservation(observation, availableParallelism());
		this.fd = createMemoryFile();
		fillFile(this.fd, new Uint8Array(1), this.layout.size - 1);
		this.bytes = mapShared(this.fd, 0, this.layout.size);
		this.#path = descriptorPath(this.fd);
		this.#nonce = new ByteReader(randomBytes(8)).u64(0);
		setU64(this.bytes, layout.HEADER.nonce, this.#nonce);
	}

	/** What stage 2 of a process is told of the file. */
	frame(serial: number): ObservedFrame {
		return {
			key: layout.processKey(serial),
			registry: 4 * (serial % layout.REGISTRY.entries),
			home: layout.homeOffset(serial),
			nonce: this.#nonce,
			path: this.#path,
		};
	}

	/** Whether the process with this serial has mapped the file. */
	isMapped(serial: number): boolean {
		const entry = layout.REGISTRY.offset + 4 * (serial % layout.REGISTRY.entries);
		return new ByteReader(this.bytes).u32(entry) === 1;
	}
}
