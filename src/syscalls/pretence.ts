/** What the programs of a run are told beside the time. */
export interface Pretence {
	/** The times that they give to files are the run's, and the files get the real ones. */
	readonly fileTimes: boolean;
}
