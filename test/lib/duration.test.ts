import { describe, expect, it } from "vitest";
import { formatGoDuration, parseDuration } from "../../src/lib/duration.js";

describe("parseDuration", () => {
  it.each([
    ["0", 0],
    ["0s", 0],
    ["250ms", 250],
    ["30s", 30_000],
    ["10m", 600_000],
    ["24h", 86_400_000],
    ["30d", 2_592_000_000],
    ["24h0m0s", 86_400_000],
    ["720h0m0s", 2_592_000_000],
    ["1.5h", 5_400_000],
    [".5s", 500],
    ["1.s", 1_000],
    ["1h1m1s1ms", 3_661_001],
    ["1d12h", 129_600_000],
    ["1500us", 1.5],
    ["1500µs", 1.5],
    ["1500μs", 1.5],
    ["1000000ns", 1],
  ])("reads %s", (text, ms) => {
    expect(parseDuration(text)).toBeCloseTo(ms, 9);
  });

  it.each(["", " ", "5", "s", "-1s", "+1s", "1 s", "1s ", "1x", "1e3s", "10M", "1h30", "1..5s", "99999999999d", "ms"])(
    "refuses %j",
    (text) => {
      expect(parseDuration(text)).toBeUndefined();
    },
  );
});

describe("formatGoDuration", () => {
  it.each([
    [0, "0s"],
    [1, "1ms"],
    [250, "250ms"],
    [999, "999ms"],
    [1_000, "1s"],
    [1_500, "1.5s"],
    [60_000, "1m0s"],
    [90_000, "1m30s"],
    [300_000, "5m0s"],
    [299_001, "4m59.001s"],
    [3_600_000, "1h0m0s"],
    [86_400_000, "24h0m0s"],
    [2_592_000_000, "720h0m0s"],
    [-90_000, "-1m30s"],
  ])("writes %d ms as %s", (ms, text) => {
    expect(formatGoDuration(ms)).toBe(text);
  });

  it("writes what parseDuration reads", () => {
    for (const ms of [0, 7, 1_001, 59_999, 60_001, 86_399_999, 31_536_000_000]) {
      expect(parseDuration(formatGoDuration(ms))).toBeCloseTo(ms, 6);
    }
  });
});
