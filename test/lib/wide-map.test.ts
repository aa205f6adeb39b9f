import { describe, expect, it } from "vitest";
import { createWideMap } from "../../src/lib/wide-map.js";

const keys = Array.from({ length: 5_000 }, (_, index) => `acme/${index}-bbbb-cccccccccccc`);

describe("a wide map", () => {
  it("is a map: it holds what was set last, and no longer what was deleted", () => {
    const map = createWideMap<number>();
    const like = new Map<string, number>();
    for (const [index, key] of [...keys, ...keys.slice(0, 100)].entries()) {
      map.set(key, index);
      like.set(key, index);
    }
    for (const key of keys.filter((_, index) => index % 3 === 0)) {
      map.delete(key);
      like.delete(key);
    }
    map.delete("never there");

    expect(map.size).toBe(like.size);
    expect([...map.keys()].toSorted()).toEqual([...like.keys()].toSorted());
    expect([...map.values()].toSorted()).toEqual([...like.values()].toSorted());
    for (const key of [...keys, "", "never there"]) {
      expect(map.get(key)).toBe(like.get(key));
      expect(map.has(key)).toBe(like.has(key));
    }
  });

  it("lets entries come and go while it is read", () => {
    const map = createWideMap<number>();
    for (const [index, key] of keys.entries()) map.set(key, index);
    const read: string[] = [];
    for (const key of map.keys()) {
      read.push(key);
      map.delete(key);
      if (read.length === 1) map.set("one more", 0);
    }
    expect(read).toEqual(expect.arrayContaining(keys));
    map.delete("one more");
    expect(map.size).toBe(0);
  });

  it("holds keys of any length", () => {
    const map = createWideMap<number>();
    const odd = ["", "a", "ab", "x".repeat(10_000), `${"x".repeat(9_999)}y`, "\u{1f600}"];
    for (const [index, key] of odd.entries()) map.set(key, index);
    expect(odd.map((key) => map.get(key))).toEqual([0, 1, 2, 3, 4, 5]);
  });
});
