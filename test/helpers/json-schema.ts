/** Validates JSON against the part of JSON Schema (draft 2020-12) that the schemas in docs/ use. Unknown keywords are an error. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

interface Schema {
	readonly $schema?: string;
	readonly title?: string;
	readonly description?: string;
	readonly $defs?: Readonly<Record<string, Schema>>;
	readonly $ref?: string;
	readonly anyOf?: readonly Schema[];
	readonly type?: string | readonly string[];
	readonly enum?: readonly unknown[];
	readonly const?: unknown;
	readonly pattern?: string;
	readonly minimum?: number;
	readonly items?: Schema;
	readonly properties?: Readonly<Record<string, Schema>>;
	readonly required?: readonly string[];
	readonly additionalProperties?: boolean;
}

const KEYWORDS: ReadonlySet<string> = new Set([
	"$schema",
	"title",
	"description",
	"$defs",
	"$ref",
	"anyOf",
	"type",
	"enum",
	"const",
	"pattern",
	"minimum",
	"items",
	"properties",
	"required",
	"additionalProperties",
]);

const typeOf = (value: unknown): string => {
	if (value === null) return "null";
	if (Array.isArray(value)) return "array";
	return typeof value === "number" && Number.isInteger(value) ? "integer" : typeof value;
};

const hasType = (value: unknown, type: string): boolean =>
	typeOf(value) === type || (type === "number" && typeOf(value) === "integer");

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeOf(value) === "object";

class Validator {
	readonly #root: Schema;

	constructor(root: Schema) {
		this.#root = root;
	}

	#resolve(reference: string): Schema {
		const name = /^#\/\$defs\/(\w+)$/.exec(reference)?.[1] ?? "";
		const schema = this.#root.$defs?.[name];
		if (schema === undefined) throw new Error(`The schema has no ${reference}`);
		return schema;
	}

	#scalar(schema: Schema, value: unknown, path: string): readonly string[] {
		const types = schema.type === undefined ? undefined : [schema.type].flat();
		const wrong = (holds: boolean, expected: unknown): readonly string[] =>
			holds ? [] : [`${path}: ${JSON.stringify(value)}, expected ${JSON.stringify(expected)}`];
		return [
			...wrong(types === undefined || types.some((type) => hasType(value, type)), types),
			...wrong(schema.enum === undefined || schema.enum.includes(value), schema.enum),
			...wrong(!("const" in schema) || schema.const === value, schema.const),
			...wrong(
				schema.pattern === undefined || typeof value !== "string" || new RegExp(schema.pattern, "u").test(value),
				schema.pattern,
			),
			...wrong(schema.minimum === undefined || typeof value !== "number" || value >= schema.minimum, schema.minimum),
		];
	}

	#object(schema: Schema, value: unknown, path: string): readonly string[] {
		if (!isObject(value)) return [];
		const { properties = {}, required = [], additionalProperties = true } = schema;
		return [
			...required.filter((name) => !(name in value)).map((name) => `${path}.${name}: missing`),
			...Object.entries(value).flatMap(([name, member]) => {
				const property = properties[name];
				if (property !== undefined) return this.faults(property, member, `${path}.${name}`);
				return additionalProperties ? [] : [`${path}.${name}: not expected`];
			}),
		];
	}

	faults(schema: Schema, value: unknown, path: string): readonly string[] {
		for (const keyword of Object.keys(schema)) {
			if (!KEYWORDS.has(keyword)) throw new Error(`The validator does not know the keyword ${keyword}`);
		}
		const { $ref, anyOf, items } = schema;
		const alternatives = anyOf?.map((alternative) => this.faults(alternative, value, path)) ?? [];
		return [
			...($ref === undefined ? [] : this.faults(this.#resolve($ref), value, path)),
			...(alternatives.length > 0 && alternatives.every((faults) => faults.length > 0)
				? [`${path}: none of ${alternatives.length} alternatives (${alternatives.map(([first]) => first).join("; ")})`]
				: []),
			...this.#scalar(schema, value, path),
			...this.#object(schema, value, path),
			...(items === undefined || !Array.isArray(value)
				? []
				: value.flatMap((member, index) => this.faults(items, member, `${path}[${index}]`))),
		];
	}
}

/** What of a value is not as the schema says: a place and a reason for each. */
export const schemaFaults = (schema: unknown, value: unknown): readonly string[] =>
	new Validator(schema as Schema).faults(schema as Schema, value, "$");

/** A schema of docs/. */
export const readSchema = (name: string): unknown =>
	JSON.parse(readFileSync(fileURLToPath(new URL(`../../../docs/${name}`, import.meta.url)), "utf8"));
