/** System calls on behalf of a stopped task, while what else comes to it waits. */
import * as linux from "../linux/constants.ts";
import { syscallResult } from "../linux/ffi.ts";
import { type CallPlace, RemoteCaller, type RemoteScript, type ScriptStep } from "./remote-call.ts";
import type { Task } from "./tasks.ts";

/** Makes the calls of a script; signals that came meanwhile are sent again when it is done. */
export const callOnBehalf = <Result>(
	task: Task,
	place: CallPlace,
	script: RemoteScript<Result>,
	finished: (result: Result) => void,
): void => {
	const caller = new RemoteCaller(task.tid, place, script);
	const after = (step: ScriptStep<Result>): void => {
		if (step.kind !== "finished") return;
		task.remote = undefined;
		for (const signal of task.heldSignals.splice(0)) {
			syscallResult(linux.SYS_tgkill, task.tid, task.tid, signal);
		}
		finished(step.result);
	};
	task.remote = () => after(caller.syscallStop());
	after(caller.begin());
};
