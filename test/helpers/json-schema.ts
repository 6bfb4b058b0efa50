/** As much of JSON Schema as the schemas in docs/ use: a value that breaks one is told by where it does. */

type Schema = Readonly<Record<string, unknown>>;

const typeOf = (value: unknown): string => {
	if (value === null) return "null";
	if (Array.isArray(value)) return "array";
	return Number.isInteger(value) ? "integer" : typeof value;
};

const resolve = (schema: Schema, root: Schema): Schema => {
	const reference = schema["$ref"];
	if (typeof reference !== "string") return schema;
	const definitions = root["$defs"] as Readonly<Record<string, Schema>>;
	const found = definitions[reference.replace("#/$defs/", "")];
	if (found === undefined) throw new Error(`the schema has no ${reference}`);
	return found;
};

const KNOWN = new Set(
	"$schema $defs $ref title description type required additionalProperties properties items enum const pattern".split(
		" ",
	),
);

/** What is wrong with a value that is no array and no object. */
const scalarViolation = (value: unknown, schema: Schema): string | undefined => {
	const listed = "const" in schema ? [schema["const"]] : (schema["enum"] as readonly unknown[] | undefined);
	if (listed !== undefined && !listed.includes(value)) return `${JSON.stringify(value)} is not listed`;
	const pattern = schema["pattern"];
	if (typeof pattern !== "string" || typeof value !== "string" || new RegExp(pattern).test(value)) return undefined;
	return `${value} does not match ${pattern}`;
};

/** Lines "PLACE: what is wrong"; empty for a value that is as the schema says. */
export const violations = (value: unknown, part: Schema, root: Schema = part, place = "$"): readonly string[] => {
	const schema = resolve(part, root);
	const unknown = Object.keys(schema).filter((key) => !KNOWN.has(key));
	if (unknown.length > 0) throw new Error(`this check does not know ${unknown.join(", ")}`);
	const type = typeOf(value);
	const allowed = (schema["type"] ?? type) as string | readonly string[];
	const types = typeof allowed === "string" ? [allowed] : allowed;
	if (!types.includes(type)) return [`${place}: ${type}, expected ${types.join(" or ")}`];
	const items = schema["items"] as Schema | undefined;
	if (Array.isArray(value) && items !== undefined) {
		return value.flatMap((item, at) => violations(item, items, root, `${place}[${at}]`));
	}
	if (type === "object") return objectViolations(value as Schema, schema, root, place);
	const violation = scalarViolation(value, schema);
	return violation === undefined ? [] : [`${place}: ${violation}`];
};

const objectViolations = (value: Schema, schema: Schema, root: Schema, place: string): readonly string[] => {
	const properties = (schema["properties"] ?? {}) as Readonly<Record<string, Schema>>;
	const required = (schema["required"] ?? []) as readonly string[];
	const missing = required.filter((name) => !(name in value)).map((name) => `${place}: no ${name}`);
	const inside = Object.entries(value).flatMap(([name, member]) => {
		const known = properties[name];
		if (known !== undefined) return violations(member, known, root, `${place}.${name}`);
		return schema["additionalProperties"] === false ? [`${place}: ${name} is not in the schema`] : [];
	});
	return [...missing, ...inside];
};
