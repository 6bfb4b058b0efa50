/** How a run ends for whoever waits for the supervisor. */
export const EXIT_OWN_FAILURE = 125;
export const EXIT_NOT_EXECUTABLE = 126;
export const EXIT_NOT_FOUND = 127;

export type ExitStatus =
	| { readonly kind: "exited"; readonly exitCode: number }
	| { readonly kind: "killed"; readonly signal: number };
