/** Which programs of a run are on its clock: `--only` and `--skip`. The others run in real time, on purpose. */
import { VsyscallError } from "../errors.ts";

export interface Selection {
	readonly kind: "only" | "skip";
	/** File names, without a directory. */
	readonly names: ReadonlySet<string>;
}

/** Lists of names as they are typed, separated by commas. */
export interface SelectionLists {
	readonly only?: string | undefined;
	readonly skip?: string | undefined;
}

const selectionError = (message: string): VsyscallError => new VsyscallError("ERR_VSYSCALL_SELECTION", message);

const readNames = (kind: Selection["kind"], list: string): Selection => {
	const names = list.split(",");
	const example = `for example --${kind}=make,cc`;
	if (names.includes("")) {
		throw selectionError(`--${kind}=${list} has an empty name: give names of programs, ${example}`);
	}
	const path = names.find((name) => name.includes("/"));
	if (path === undefined) return { kind, names: new Set(names) };
	throw selectionError(`--${kind} compares names without their directory, not ${path}: ${example}`);
};

/**
 * Undefined when every program is meant.
 *
 * @throws {VsyscallError} ERR_VSYSCALL_SELECTION when both are given, or a name is empty or a path.
 */
export const parseSelection = ({ only, skip }: SelectionLists): Selection | undefined => {
	if (only !== undefined && skip !== undefined) {
		throw selectionError("--only and --skip exclude each other: give one of them");
	}
	if (only !== undefined) return readNames("only", only);
	return skip === undefined ? undefined : readNames("skip", skip);
};

/** @param names what the program is called: it is found by each of them */
export const isSelected = ({ kind, names: listed }: Selection, names: readonly string[]): boolean =>
	names.some((name) => listed.has(name)) === (kind === "only");
