import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { createShortLivedMap, createShortLivedSet, type Placed } from "../../src/lib/short-lived.js";

interface Member extends Placed {
  readonly name: string;
}

const member = (name: string): Member => ({ name, place: -1 });
const members = (count: number): Member[] => Array.from({ length: count }, (_, at) => member(`${at}`));
const names = (all: Iterable<Member>): string[] => Array.from(all, ({ name }) => name).toSorted();

describe("a short-lived set", () => {
  it("has what was added and not deleted", () => {
    const set = createShortLivedSet<Member>();
    const [a, b, c] = [member("a"), member("b"), member("c")];
    for (const each of [a, b, c]) set.add(each);
    expect(set.delete(a)).toBe(true);
    expect(names(set)).toEqual(["b", "c"]);
    expect([set.has(a), set.has(b), set.has(c), set.size]).toEqual([false, true, true, 2]);
    set.add(a);
    expect(set.delete(c)).toBe(true);
    expect(names(set)).toEqual(["a", "b"]);
  });

  it("deletes only its own members, and each once", () => {
    const [set, other] = [createShortLivedSet<Member>(), createShortLivedSet<Member>()];
    const [mine, theirs, nobodys] = [member("mine"), member("theirs"), member("nobody's")];
    set.add(mine);
    other.add(theirs);
    expect([set.has(theirs), set.delete(theirs), set.delete(nobodys)]).toEqual([false, false, false]);
    expect([set.delete(mine), set.delete(mine), set.size, other.size]).toEqual([true, false, 0, 1]);
  });

  it.each([
    ["that were passed", -1, [0, 1, 2, 3, 4]],
    ["that is at hand", 0, [0, 1, 2, 3, 4]],
    ["that are to come", 1, [0, 2, 4]],
  ])("meets each once while others are deleted %s", (_, offset, expected) => {
    const set = createShortLivedSet<Member>();
    const all = members(5);
    for (const each of all) set.add(each);
    const met: number[] = [];
    for (const { name } of set) {
      met.push(Number(name));
      const other = all[Number(name) + offset];
      if (other) set.delete(other);
    }
    expect(met).toEqual(expected);
  });

  it("leaves out what is added meanwhile", () => {
    const set = createShortLivedSet<Member>();
    for (const each of members(3)) set.add(each);
    let met = 0;
    for (const _ of set) if (met++ < 10) set.add(member("late"));
    expect([met, set.size]).toEqual([3, 6]);
  });

  it("agrees with a Set, whatever is done", () => {
    const set = createShortLivedSet<Member>();
    const model = new Set<Member>();
    const all = members(50);
    let random = 7;
    for (let step = 0; step < 5_000; step++) {
      random = (random * 48_271) % 2_147_483_647;
      const each = all[random % all.length] as Member;
      if (model.has(each)) expect(set.delete(each)).toBe(model.delete(each));
      else {
        set.add(each);
        model.add(each);
      }
      expect(set.has(each)).toBe(model.has(each));
    }
    expect(set.size).toBe(model.size);
    expect(names(set)).toEqual(names(model));
  });
});

describe("a short-lived map", () => {
  it("has what was set last and not deleted, in the order of the first setting", () => {
    const map = createShortLivedMap<string, number | undefined>();
    map.set("a", 1);
    map.set("b", 2);
    map.set("c", undefined);
    map.set("a", 3);
    map.delete("b");
    map.delete("nobody's");
    expect([map.get("a"), map.get("b"), map.get("c"), map.size]).toEqual([3, undefined, undefined, 2]);
    expect([...map.values()]).toEqual([3, undefined]);
  });

  it("goes on when entries are deleted meanwhile", () => {
    const map = createShortLivedMap<number, number>();
    for (let key = 0; key < 6; key++) map.set(key, key);
    const met: number[] = [];
    for (const value of map.values()) {
      met.push(value);
      map.delete(value);
      if (value % 2 === 0) map.delete(value + 1);
    }
    expect([met, map.size]).toEqual([[0, 2, 4], 0]);
  });
});

/** Collects what is young. Not all memory: that would hide what the collections are there for. */
function collectYoung(): void {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as (options: { type: "minor" }) => void;
  // Twice: then what the collection consists of is old.
  collect({ type: "minor" });
  collect({ type: "minor" });
}

/** Lets so many values of a kilobyte pass, 64 at a time; returns by how many kilobytes memory has grown. A Map keeps them all. */
function grownBy(
  count: number,
  add: (key: number, value: Heavy) => void,
  remove: (key: number, value: Heavy) => void,
): number {
  const window: Heavy[] = [];
  let before = 0;
  for (let key = 0; key < 2 * count; key++) {
    const value = { place: -1, weight: Array.from({ length: 125 }, () => key) };
    const leaving = window[key % 64];
    if (leaving) remove(key - 64, leaving);
    window[key % 64] = value;
    add(key, value);
    if (key % 1_000 === 0) collectYoung();
    if (key === count) before = process.memoryUsage().heapUsed;
  }
  collectYoung();
  return (process.memoryUsage().heapUsed - before) / 1024;
}

interface Heavy extends Placed {
  readonly weight: readonly number[];
}

describe("what has left a short-lived collection", () => {
  it("goes with what is young, however long the set lives", () => {
    const set = createShortLivedSet<Heavy>();
    expect(
      grownBy(
        10_000,
        (_, value) => set.add(value),
        (_, value) => set.delete(value),
      ),
    ).toBeLessThan(7_000);
    expect(set.size).toBe(64);
  });

  it("goes with what is young, however long the map lives", () => {
    const map = createShortLivedMap<number, Heavy>();
    expect(grownBy(10_000, map.set, map.delete)).toBeLessThan(7_000);
    expect(map.size).toBe(64);
  });
});
