/** The short form of `npm run soak`: every reading of a clock that is changed at random, against the exact arithmetic. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { has } from "../helpers/requirements.ts";
import { PATHS } from "../soak/history.ts";
import { soak } from "../soak/soak.ts";

test("every reading of forty processes is explained by a clock of the moment, whoever is killed", {
	timeout: 180_000,
}, async (t) => {
	if (!has(t, "gcc")) return;
	const result = await soak({ seconds: 20, processes: 40 });
	t.diagnostic(JSON.stringify(result));
	assert.deepEqual(result.exitCodes, [0, 0, 0, 0]);
	assert.equal(result.wrong, 0, result.examples.join("\n"));
	assert.deepEqual(result.lost, []);
	assert.ok(result.endsWell);
	for (const { name } of PATHS) assert.ok((result.readingsByPath[name] ?? 0) > 0, name);
	for (const kind of ["host", "offset", "frozen", "drift"]) assert.ok((result.readingsByKind[kind] ?? 0) > 0, kind);
	assert.ok(result.controllersKilled > 0 && result.changes > 100);
});
