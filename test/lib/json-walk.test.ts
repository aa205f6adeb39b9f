import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { JsonCursor } from "../../src/lib/json-cursor.js";
import { countNumbers, cutNumbers, numbersAt, valueAt, walkArray, walkObject } from "../../src/lib/json-walk.js";

const cursorOf = (text: string): JsonCursor => new JsonCursor(Buffer.from(text));
const space = fc.constantFrom("", " ", "\n  ");
const number = fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value));

describe("walking JSON", () => {
  it("finds every member and element with its own text", () => {
    const members = fc.uniqueArray(fc.tuple(fc.string(), fc.jsonValue()), { selector: ([key]) => key });
    fc.assert(
      fc.property(members, (given) => {
        const text = `{${given.map(([key, value]) => `${JSON.stringify(key)} : ${JSON.stringify([value])}`).join(" , ")}}`;
        const cursor = cursorOf(text);
        const found: [string, unknown][] = [];
        walkObject(cursor, (key) => {
          walkArray(cursor, () => found.push([key, JSON.parse(valueAt(cursor).toString()) as unknown]));
        });
        expect(found).toEqual(given.map(([key, value]) => [key, JSON.parse(JSON.stringify(value)) as unknown]));
        expect(cursor.at).toBe(cursor.bytes.length);
      }),
    );
  });

  it("takes numbers as they are written, counts and cuts them", () => {
    const parts = fc.integer({ min: 1, max: 5 });
    const row = fc.array(fc.tuple(space, number, space), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(parts, row, (times, cells) => {
        const one = cells.map((cell) => cell.join("")).join(",");
        const text = `[${Array(times).fill(one).join(",")}]`;
        const cursor = cursorOf(`${text} tail`);
        const array = numbersAt(cursor);
        expect(array.toString()).toBe(text);
        expect(cursor.at).toBe(text.length);
        expect(countNumbers(array)).toBe(times * cells.length);
        expect(cutNumbers(array, times)?.map(String)).toEqual(Array(times).fill(`[${one}]`));
        expect(cutNumbers(array, times * cells.length + 1)).toBeUndefined();
      }),
    );
  });

  it("knows an array of nothing", () => {
    for (const text of ["[]", "[ \n]"]) {
      expect(countNumbers(numbersAt(cursorOf(text)))).toBe(0);
      expect(cutNumbers(Buffer.from(text), 1)).toBeUndefined();
    }
  });

  it.each(['["1"]', "[null]", "[NaN]", "[[1]]", '[{"a":1}]', "[1", "1", "{}", ""])(
    "takes %s for no numbers",
    (text) => {
      expect(() => numbersAt(cursorOf(text))).toThrow("expected an array of numbers");
    },
  );

  it.each(["[]", "{", '{"a"}', '{"a":1,}', '{"a":1 "b":2}', "{1:2}"])("takes %s for no object", (text) => {
    const cursor = cursorOf(text);
    expect(() => walkObject(cursor, () => cursor.value())).toThrow();
  });
});
