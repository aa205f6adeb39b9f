import { expect, it } from "vitest";
import { createKeyRing, type UpstreamKey } from "../../src/upstream/keys.js";

const a: UpstreamKey = { name: "env:A", value: "a", weight: 2 };
const b: UpstreamKey = { name: "env:B", value: "b", weight: 1 };
const c: UpstreamKey = { name: "env:C", value: "c", weight: 1 };

function ringOf(...keys: UpstreamKey[]) {
  let nowMs = 1_000;
  const ring = createKeyRing(keys, () => nowMs);
  const take = (times: number, model = "m"): string =>
    Array.from({ length: times }, () => ring.take(model)?.value).join("");
  return { ring, take, pass: (ms: number) => void (nowMs += ms), now: () => nowMs };
}

it("gives keys in turn, each as often as its weight says", () => {
  expect(ringOf(a, b, c).take(8)).toBe("abcaabca");
  expect(ringOf().ring.take("m")).toBeUndefined();
});

it("leaves a key out until its time, for one model or for all", () => {
  const { ring, take, pass, now } = ringOf(a, b);
  expect(ring.rest(a, now() + 100, "m")).toBe(true);
  expect(take(3)).toBe("bbb");
  expect(take(3, "other")).toContain("a");

  expect(ring.rest(b, now() + 500)).toBe(true);
  expect(take(2, "other")).toBe("aa");
  expect(ring.resting()).toBe(1);
  pass(100);
  expect(take(2)).toBe("aa");
  pass(400);
  expect(new Set(take(3))).toEqual(new Set("ab"));
  expect(ring.resting()).toBe(0);
});

it("says whether a rest is news, and keeps the longer of two", () => {
  const { ring, take, pass, now } = ringOf(a, b);
  expect(ring.rest(a, now() + 300)).toBe(true);
  expect(ring.rest(a, now() + 100)).toBe(false);
  pass(200);
  expect(take(2)).toBe("bb");
});

it("uses the key whose turn comes first again when all are left out", () => {
  const { ring, take, now } = ringOf(a, b);
  ring.rest(a, now() + 500);
  ring.rest(b, now() + 200);
  expect(take(2)).toBe("bb");
  expect(ring.hasOther(b, "m")).toBe(false);
});

it("takes a key back as soon as the upstream took it", () => {
  const { ring, take, now } = ringOf(a);
  ring.rest(a, now() + 500);
  ring.taken(ring.take("m"));
  expect(ring.resting()).toBe(0);
  expect(take(1)).toBe("a");
});

it("knows of those that stay when they are replaced what it knew", () => {
  const { ring, take, now } = ringOf(a, b);
  ring.rest(b, now() + 500);
  expect(ring.replace([a, b])).toBe(false);
  expect(ring.replace([b, c])).toBe(true);
  expect(take(3)).toBe("ccc");
  expect(ring.rest(a, now() + 500)).toBe(false);
});

it("remembers a bounded number of models for a key", () => {
  const { ring, pass, now } = ringOf(a, b);
  for (let made = 0; made < 1_000; made++) ring.rest(a, now() + 500, `made-up-${made}`);
  ring.rest(a, now() + 500, "m");
  expect(ring.hasOther(b, "m")).toBe(true);
  pass(500);
  ring.rest(a, now() + 500, "m");
  expect(ring.hasOther(b, "m")).toBe(false);
});
