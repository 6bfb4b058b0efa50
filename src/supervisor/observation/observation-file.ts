/** The observation file of a run (observation/layout.ts), and the processes that have it. */
import { randomBytes } from "node:crypto";
import { availableParallelism } from "node:os";
import { ByteReader, setU64 } from "../../bytes.ts";
import { createMemoryFile, fillFile, mapShared } from "../../linux/memfd.ts";
import { descriptorPath } from "../../linux/proc-file.ts";
import * as layout from "../../observation/layout.ts";
import { OBSERVATION_PARCEL } from "../../vdso/observer/install.ts";

/** Of a field, in the parcel. */
const place = (field: number): number => field - OBSERVATION_PARCEL.key;

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

	/** What stage 2 of a process finds below its stack pointer. */
	parcel(serial: number): Uint8Array {
		const parcel = new Uint8Array(OBSERVATION_PARCEL.size);
		setU64(parcel, 0, layout.processKey(serial));
		setU64(parcel, place(OBSERVATION_PARCEL.registry), BigInt(4 * (serial % layout.REGISTRY.entries)));
		setU64(parcel, place(OBSERVATION_PARCEL.home), BigInt(layout.homeOffset(serial)));
		setU64(parcel, place(OBSERVATION_PARCEL.nonce), this.#nonce);
		parcel.set(this.#path, place(OBSERVATION_PARCEL.path));
		return parcel;
	}

	/** Whether the process with this serial has mapped the file. */
	isMapped(serial: number): boolean {
		const entry = layout.REGISTRY.offset + 4 * (serial % layout.REGISTRY.entries);
		return new ByteReader(this.bytes).u32(entry) === 1;
	}
}
