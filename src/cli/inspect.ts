/** `vsyscall inspect`: its options. What it does is loaded when it runs. */
import type { Command } from "commander";
import { addExamples } from "./examples.ts";

export interface InspectFlags {
	readonly host?: boolean;
	readonly json?: boolean;
	/** true without a symbol */
	readonly disassemble?: string | true;
	readonly dump?: string;
}

/** Adds `inspect`, which inherits the settings of `program`. */
export const addInspectCommand = (program: Command): void => {
	const command = program
		.command("inspect")
		.description("look at the vDSO, the vvar page and the vsyscall page of a process, a core file or the host")
		.argument("[target]", "a process id, a core file or a vDSO image; the host when there is none")
		.option("--host", "the kernel's own layer")
		.option("--json", "as JSON (docs/inspect.schema.json)")
		.option("--disassemble [symbol]", "the code instead, or that of one function")
		.option("--dump <file>", "write the image to a file")
		.action(async (target: string | undefined, flags: InspectFlags) => {
			const { inspect } = await import("./inspect-run.ts");
			inspect(target, flags);
		});
	addExamples(command, ["vsyscall inspect $$", "vsyscall inspect --host --disassemble __vdso_time"]);
};
