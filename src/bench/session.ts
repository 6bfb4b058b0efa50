/**
 * A measuring program that runs: natively, under `vsyscall run`, or under faketime. It lives in a memory file, has no name, and ends
 * with its stdin.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync } from "node:fs";
import { createProgramFile } from "../linux/memfd.ts";
import * as protocol from "./protocol.ts";

/** Where the descriptor of the program is in every process that leads to it. */
const PROGRAM_PATH = "/proc/self/fd/3";
const STDERR_MAX = 4096;

export interface SessionStart {
	readonly program: protocol.MeasuringProgram;
	/** What starts the program, its path to be appended; empty to start it directly. */
	readonly through: readonly string[];
	readonly environment: NodeJS.ProcessEnv;
}

/** The program has ended, or could not be started. */
export class SessionOver extends Error {
	override readonly name: string = "SessionOver";
}

interface Waiting {
	readonly length: number;
	readonly resolve: (bytes: Uint8Array) => void;
	readonly reject: (error: SessionOver) => void;
}

/** The last line of what a program has said, without who says it of whom. */
const lastLine = (text: string): string | undefined =>
	text
		.trim()
		.split("\n")
		.at(-1)
		?.replace(/^vsyscall: /, "")
		.replace(/^.* \(pid \d+\) /, "")
		.replace(/; it was not started.*$/, "");

const endOf = (exitCode: number | null, signal: NodeJS.Signals | null, stderr: string): SessionOver =>
	new SessionOver(
		lastLine(stderr) || (signal === null ? `the program ended with status ${String(exitCode)}` : `ends by ${signal}`),
	);

export class Session {
	readonly program: protocol.MeasuringProgram;
	readonly #child: ChildProcess;
	readonly #closed: Promise<void>;
	#received: Uint8Array = new Uint8Array(0);
	#waiting: Waiting | undefined;
	#over: SessionOver | undefined;
	#hello: protocol.Hello | undefined;

	private constructor(child: ChildProcess, program: protocol.MeasuringProgram) {
		this.#child = child;
		this.program = program;
		let stderr = "";
		child.stderr?.setEncoding("utf8").on("data", (text: string) => (stderr = (stderr + text).slice(-STDERR_MAX)));
		child.stdout?.on("data", (bytes: Uint8Array) => {
			this.#received = Buffer.concat([this.#received, bytes]);
			this.#deliver();
		});
		// The program may end while a request is on the way.
		child.stdin?.on("error", () => {});
		this.#closed = new Promise((resolve) => {
			child.on("error", (error) => {
				this.#end(new SessionOver(error.message));
				resolve();
			});
			child.on("close", (exitCode, signal) => {
				this.#end(endOf(exitCode, signal, stderr));
				resolve();
			});
		});
	}

	/** @throws {SessionOver} with the reason, in words, when the program does not start. */
	static async start({ program, through, environment }: SessionStart): Promise<Session> {
		const fd = createProgramFile(program.bytes);
		try {
			const [file, ...args] = [...through, PROGRAM_PATH] as const;
			const child = spawn(file, args, { stdio: ["pipe", "pipe", "pipe", fd], env: environment });
			const session = new Session(child, program);
			const hello = protocol.decodeHello(await session.#receive(protocol.helloSize(program.importCount)));
			session.#hello = hello;
			return session;
		} finally {
			closeSync(fd);
		}
	}

	get hello(): protocol.Hello {
		if (this.#hello === undefined) throw new RangeError("The program has not said its hello");
		return this.#hello;
	}

	#deliver(): void {
		const waiting = this.#waiting;
		if (waiting === undefined || this.#received.length < waiting.length) return;
		this.#waiting = undefined;
		const bytes = this.#received.slice(0, waiting.length);
		this.#received = this.#received.subarray(waiting.length);
		waiting.resolve(bytes);
	}

	#end(reason: SessionOver): void {
		this.#over ??= reason;
		const waiting = this.#waiting;
		this.#waiting = undefined;
		waiting?.reject(this.#over);
	}

	#receive(length: number): Promise<Uint8Array> {
		return new Promise((resolve, reject) => {
			if (this.#over !== undefined) return reject(this.#over);
			this.#waiting = { length, resolve, reject };
			this.#deliver();
		});
	}

	/**
	 * One request and its reply; the next one is sent when this is answered.
	 *
	 * @throws {SessionOver} when the program does not survive it.
	 */
	ask(request: protocol.Request): Promise<Uint8Array> {
		this.#child.stdin?.write(protocol.encodeRequest(request));
		return this.#receive(request.replyLength);
	}

	/** Memory of the program. @throws {SessionOver} when it is not mapped. */
	peek(address: bigint, length: number): Promise<Uint8Array> {
		const loop = this.program.loop("function", "clock_gettime");
		return this.ask({ loop, calls: 0, warmUp: 0, stride: 0, function: 0n, replyAddress: address, replyLength: length });
	}

	/** Ends the program and waits for it. */
	async end(): Promise<void> {
		this.#child.stdin?.end();
		await this.#closed;
	}
}
