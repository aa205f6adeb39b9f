import { expect, it } from "vitest";
import { createBreakers } from "../../src/upstream/breakers.js";

function breakers() {
  let nowMs = 1_000;
  const changes: string[] = [];
  const all = createBreakers({
    monotonic: () => nowMs,
    onChange: (model, open) => changes.push(`${model} ${open ? "opens" : "closes"}`),
  });
  /** So many failures, so far apart. */
  const fail = (times: number, everyMs: number, model = "m"): void => {
    for (let at = 0; at < times; at++) {
      all.failed(model);
      nowMs += everyMs;
    }
  };
  return { all, changes, fail, pass: (ms: number) => void (nowMs += ms) };
}

it("stays closed on few failures, and on many that are one event", () => {
  const { all, fail, changes } = breakers();
  fail(9, 1_000);
  expect(all.waitMs("m")).toBe(0);
  fail(50, 0, "burst");
  expect(all.waitMs("burst")).toBe(0);
  expect(changes).toEqual([]);
});

it("opens after ten failures in a row, and says for how long", () => {
  const { all, fail, changes } = breakers();
  fail(10, 200);
  expect(all.waitMs("m")).toBe(4_800);
  expect(all.waitMs("other")).toBe(0);
  expect(all.open()).toBe(1);
  expect(changes).toEqual(["m opens"]);
});

it("counts anew after a success, and after a quiet time", () => {
  const { all, fail, pass } = breakers();
  fail(9, 200);
  all.succeeded("m");
  fail(9, 200);
  pass(61_000);
  fail(9, 200);
  expect(all.open()).toBe(0);
});

it("lets one request through after its time, and another one when nothing comes of that", () => {
  const { all, fail, pass } = breakers();
  fail(10, 200);
  pass(4_800);
  expect([all.waitMs("m"), all.waitMs("m")]).toEqual([0, 5_000]);
  pass(5_000);
  expect(all.waitMs("m")).toBe(0);
  all.failed("m");
  expect(all.waitMs("m")).toBe(5_000);
});

it("closes at the first success", () => {
  const { all, fail, pass, changes } = breakers();
  fail(10, 200);
  pass(4_800);
  expect(all.waitMs("m")).toBe(0);
  all.succeeded("m");
  expect([all.waitMs("m"), all.waitMs("m"), all.open()]).toEqual([0, 0, 0]);
  expect(changes).toEqual(["m opens", "m closes"]);
});

it("rests as long as the upstream asks for, a minute at most", () => {
  const { all, fail } = breakers();
  fail(10, 200);
  all.failed("m", 20_000);
  expect(all.waitMs("m")).toBe(20_000);
  all.failed("m", 3_600_000);
  expect(all.waitMs("m")).toBe(60_000);
});

it("remembers a bounded number of models", () => {
  const { all, fail, changes } = breakers();
  for (let made = 0; made < 2_000; made++) fail(10, 200, `made-up-${made}`);
  expect(all.open()).toBe(500);
  expect(changes.filter((change) => change.endsWith("closes"))).toHaveLength(1_500);
});
