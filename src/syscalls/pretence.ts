/** What the programs of a run are told beside the time. */
export interface Pretence {
	/** The times that they give to files are the run's, and the files get the real ones. @default false */
	readonly fileTimes?: boolean;
	/** The id that every process has by its own account: 1 or more. @default undefined: the real one */
	readonly pid?: number | undefined;
	/** What getrandom is answered from, of 64 bits. @default undefined: random bytes */
	readonly seed?: bigint | undefined;
}
