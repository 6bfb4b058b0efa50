/** As much of JSON Schema as the schemas in docs/ use. */
interface Schema {
	readonly $ref?: string;
	readonly $defs?: Readonly<Record<string, Schema>>;
	readonly const?: unknown;
	readonly enum?: readonly unknown[];
	readonly oneOf?: readonly Schema[];
	readonly type?: string | readonly string[];
	readonly required?: readonly string[];
	readonly properties?: Readonly<Record<string, Schema>>;
	readonly additionalProperties?: false;
	readonly items?: Schema;
}

const typeOf = (value: unknown): readonly string[] => {
	if (value === null) return ["null"];
	if (Array.isArray(value)) return ["array"];
	return typeof value === "number" && Number.isInteger(value) ? ["integer", "number"] : [typeof value];
};

interface Place {
	readonly root: Schema;
	readonly path: string;
}

const checkArray = (value: readonly unknown[], { items }: Schema, { root, path }: Place): readonly string[] =>
	items === undefined ? [] : value.flatMap((item, index) => check(item, items, { root, path: `${path}[${index}]` }));

const checkObject = (value: object, schema: Schema, { root, path }: Place): readonly string[] => {
	const { properties = {}, required = [], additionalProperties } = schema;
	const missing = required.filter((name) => !(name in value)).map((name) => `${path}: no ${name}`);
	const members = Object.entries(value).flatMap(([name, member]) => {
		const known = properties[name];
		if (known !== undefined) return check(member, known, { root, path: `${path}.${name}` });
		return additionalProperties === false ? [`${path}: ${name} is not in the schema`] : [];
	});
	return [...missing, ...members];
};

const isAllowed = (value: unknown, schema: Schema): boolean =>
	(!("const" in schema) || value === schema.const) && (schema.enum === undefined || schema.enum.includes(value));

const check = (value: unknown, schema: Schema, place: Place): readonly string[] => {
	const { root, path } = place;
	if (schema.$ref !== undefined) {
		const target = root.$defs?.[schema.$ref.replace("#/$defs/", "")];
		return target === undefined ? [`${path}: no ${schema.$ref}`] : check(value, target, place);
	}
	if (schema.oneOf !== undefined) {
		const fitting = schema.oneOf.filter((one) => check(value, one, place).length === 0);
		return fitting.length === 1 ? [] : [`${path}: fits ${fitting.length} of the schemas`];
	}
	if (!isAllowed(value, schema)) return [`${path}: none of the values that are allowed`];
	const types = schema.type === undefined ? undefined : [schema.type].flat();
	if (types !== undefined && !typeOf(value).some((type) => types.includes(type))) {
		return [`${path}: ${typeOf(value).join(" ")}, expected ${types.join(" or ")}`];
	}
	if (Array.isArray(value)) return checkArray(value, schema, place);
	return typeof value === "object" && value !== null ? checkObject(value, schema, place) : [];
};

/** What is wrong with a value, as paths and reasons; nothing when it keeps to the schema. */
export const violations = (value: unknown, schema: object): readonly string[] =>
	check(value, schema, { root: schema, path: "$" });
