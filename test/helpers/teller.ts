/** Programs on a named clock that say the time whenever they are asked: for each line of stdin one with the seconds since 1970. */
import { assertNothingLeft, type Finished, type RunSettings, startVsyscall } from "./vsyscall.ts";

export interface Teller {
	readonly ask: () => Promise<number>;
	readonly end: () => Promise<Finished>;
}

/** `vsyscall run --clock CLOCK -- COMMAND` */
export const startTeller = (clock: string, command: readonly string[], settings: RunSettings): Teller => {
	const started = startVsyscall(["run", "--clock", clock, "--", ...command], { ...settings, interactive: true });
	const lines: ((line: string) => void)[] = [];
	let rest = "";
	started.child.stdout?.on("data", (text: string) => {
		rest += text;
		for (let end = rest.indexOf("\n"); end >= 0; end = rest.indexOf("\n")) {
			lines.shift()?.(rest.slice(0, end));
			rest = rest.slice(end + 1);
		}
	});
	return {
		ask: () =>
			new Promise((resolve) => {
				lines.push((line) => resolve(Number(line)));
				started.child.stdin?.write("\n");
			}),
		end: async () => {
			started.child.stdin?.end();
			const finished = await started.finished;
			await assertNothingLeft(started.mark);
			return finished;
		},
	};
};
