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

/** What is wrong with a value, as paths and reasons; nothing when it keeps to the schema. */
export const violations = (value: unknown, schema: Schema, root: Schema = schema, path = "$"): readonly string[] => {
	if (schema.$ref !== undefined) {
		const target = root.$defs?.[schema.$ref.replace("#/$defs/", "")];
		return target === undefined ? [`${path}: no ${schema.$ref}`] : violations(value, target, root, path);
	}
	if (schema.oneOf !== undefined) {
		const fitting = schema.oneOf.filter((one) => violations(value, one, root, path).length === 0);
		return fitting.length === 1 ? [] : [`${path}: fits ${fitting.length} of the schemas`];
	}
	const found: string[] = [];
	if (schema.const !== undefined && value !== schema.const) found.push(`${path}: not ${String(schema.const)}`);
	if (schema.enum !== undefined && !schema.enum.includes(value))
		found.push(`${path}: ${String(value)} is none of them`);
	const types = schema.type === undefined ? undefined : [schema.type].flat();
	if (types !== undefined && !typeOf(value).some((type) => types.includes(type))) {
		return [...found, `${path}: ${typeOf(value).join(" ")}, expected ${types.join(" or ")}`];
	}
	if (Array.isArray(value)) {
		const { items } = schema;
		if (items !== undefined)
			found.push(...value.flatMap((item, index) => violations(item, items, root, `${path}[${index}]`)));
	} else if (typeof value === "object" && value !== null) {
		const { properties = {} } = schema;
		for (const name of schema.required ?? []) if (!(name in value)) found.push(`${path}: no ${name}`);
		for (const [name, member] of Object.entries(value)) {
			const known = properties[name];
			if (known !== undefined) found.push(...violations(member, known, root, `${path}.${name}`));
			else if (schema.additionalProperties === false) found.push(`${path}: ${name} is not in the schema`);
		}
	}
	return found;
};
