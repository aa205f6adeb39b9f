import fc from "fast-check";
import { expect, it } from "vitest";
import { isoTime } from "../../src/lib/iso-time.js";

it("writes times as Date does", () => {
  const near = fc.integer({ min: 0, max: 5_000 }).map((ms) => 1_790_000_000_000 + ms + 0.25);
  const any = fc.double({ min: -8.64e15, max: 8.64e15, noNaN: true });
  const edges = fc.constantFrom(
    0,
    -0,
    1,
    999,
    1_000,
    -1,
    -999.5,
    8.64e15,
    -8.64e15,
    253_402_300_799_999,
    253_402_300_800_000,
  );

  fc.assert(
    fc.property(fc.oneof(near, near, any, edges), (ms) => isoTime(ms) === new Date(ms).toISOString()),
    {
      numRuns: 2_000,
    },
  );
});

it.each([Number.NaN, Infinity, 8.65e15])("knows that %d is no time", (ms) => {
  expect(() => isoTime(ms)).toThrow(RangeError);
});
