import fc from "fast-check";
import type { CalendarDuration } from "../../src/clock/duration.ts";
import type { ClockMotion } from "../../src/clock/motion.ts";
import type { ClockSpec } from "../../src/clock/spec.ts";
import { type Nanoseconds, nanoseconds } from "../../src/units.ts";

const EARLIEST = -377_705_116_800_000_000_000n;
const LATEST = 253_402_300_799_999_999_999n;

/** Zones with changes of half an hour, of a day, of local mean time, with an offset of minutes, without changes. */
export const ZONES = [
	"Europe/Paris",
	"America/New_York",
	"Asia/Kolkata",
	"Australia/Lord_Howe",
	"Pacific/Apia",
	"America/St_Johns",
	"UTC",
] as const;

export const secondsOnly = (value: bigint): Nanoseconds => nanoseconds(value - (value % 1_000_000_000n));

/** Years -9999 to 9999. */
export const anyInstant: fc.Arbitrary<Nanoseconds> = fc
	.oneof(fc.bigInt(EARLIEST, LATEST), fc.bigInt(EARLIEST, LATEST).map(secondsOnly))
	.map(nanoseconds);

/** Years 1 to 9999. */
export const commonEraInstant: fc.Arbitrary<Nanoseconds> = fc
	.bigInt(-62_135_596_800_000_000_000n, LATEST)
	.map(nanoseconds);

/** Years 1950 to 2050, where clocks change. */
export const modernInstant: fc.Arbitrary<Nanoseconds> = fc
	.bigInt(-631_152_000_000_000_000n, 2_524_608_000_000_000_000n)
	.map(nanoseconds);

/** Objects as the parser makes them. */
const PLAIN = { noNullPrototype: true } as const;

const sign = fc.constantFrom(1 as const, -1 as const);

export const anyDuration: fc.Arbitrary<CalendarDuration> = fc.record(
	{
		sign,
		months: fc.bigInt(0n, 240_000n),
		exact: fc.bigInt(0n, 7_305_000n * 86_400_000_000_000n).map(nanoseconds),
	},
	PLAIN,
);

const TRILLION = 10n ** 12n;

/** Less than a million parts per million. */
export const anyDrift: fc.Arbitrary<bigint> = fc.oneof(
	fc.bigInt(1n - TRILLION, TRILLION - 1n),
	fc.bigInt(-500n, 500n).map((ppm) => ppm * 1_000_000n),
);

const anyStep = fc.oneof(fc.bigInt(1n, 10n ** 12n), fc.bigInt(1n, 7_305_000n * 86_400_000_000_000n)).map(nanoseconds);

/** Every motion but ticking. */
const motions = [
	fc.constant({ kind: "frozen" as const }),
	fc.record({ kind: fc.constant("drift" as const), partsPerTrillion: anyDrift }, PLAIN),
	fc.record({ kind: fc.constant("step" as const), by: anyStep }, PLAIN),
] as const;

const anyMotion: fc.Arbitrary<ClockMotion> = fc.oneof(
	{ weight: 2, arbitrary: fc.constant({ kind: "ticking" as const }) },
	...motions,
);

const anyFile = fc
	.oneof(
		fc.string({ minLength: 1 }),
		fc.string({ minLength: 1, unit: "binary" }),
		fc.array(fc.constantFrom("/", "a", " ", '"', "\\", "%", "frozen"), { minLength: 1 }).map((parts) => parts.join("")),
	)
	.filter((name) => !name.includes("\0"));

const clockSpec: fc.Arbitrary<ClockSpec> = fc.oneof(
	fc.record(
		{
			kind: fc.constant("clock" as const),
			base: fc.oneof(
				anyDuration.map((duration) => ({ kind: "offset" as const, duration })),
				anyInstant.map((at) => ({ kind: "start" as const, time: { kind: "instant" as const, at } })),
				anyInstant.map((dateTime) => ({ kind: "start" as const, time: { kind: "local" as const, dateTime } })),
				anyFile.map((follow) => ({ kind: "file" as const, follow })),
			),
			motion: anyMotion,
		},
		PLAIN,
	),
	fc.oneof(...motions).map((motion) => ({ kind: "clock" as const, base: { kind: "now" as const }, motion })),
);

/** Every spec that a text can have. */
export const anySpec: fc.Arbitrary<ClockSpec> = fc.oneof(
	{ weight: 20, arbitrary: clockSpec },
	fc.constant({ kind: "host" as const }),
);
