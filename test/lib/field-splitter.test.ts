import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createFieldSplitter } from "../../src/lib/field-splitter.js";

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) | 128, ...varint(Math.floor(value / 128))];
}

/** A field of some wire type, as bytes. */
const field = fc
  .tuple(fc.integer({ min: 1, max: 5_000 }), fc.constantFrom(0, 1, 2, 5), fc.uint8Array({ maxLength: 300 }))
  .map(([number, wireType, bytes]) => {
    const tag = varint(number * 8 + wireType);
    if (wireType === 0) return [...tag, ...varint(bytes.length * 1_000)];
    if (wireType === 2) return [...tag, ...varint(bytes.length), ...bytes];
    return [...tag, ...Array.from({ length: wireType === 1 ? 8 : 4 }, (_, at) => bytes[at] ?? 0xff)];
  });

const options = { partBytes: 200, maxFieldBytes: 1_000 };

describe("createFieldSplitter", () => {
  it("cuts between fields, wherever the bytes are cut that it is given", () => {
    fc.assert(
      fc.property(fc.array(field), fc.array(fc.integer({ min: 1, max: 90 })), (fields, sizes) => {
        const bytes = Uint8Array.from(fields.flat());
        const ends = fields.reduce<number[]>((all, each) => [...all, (all.at(-1) ?? 0) + each.length], [0]);
        const splitter = createFieldSplitter(options);
        const parts: Uint8Array[] = [];
        for (let at = 0, turn = 0; at < bytes.length; turn++) {
          const size = sizes[turn % sizes.length] ?? 1;
          parts.push(...splitter.push(bytes.slice(at, at + size)));
          at += size;
        }
        for (const part of parts) {
          expect(part.length).toBeGreaterThanOrEqual(200);
          expect(part.length).toBeLessThan(200 + 310);
        }
        parts.push(splitter.rest());

        expect(Buffer.concat(parts)).toEqual(Buffer.from(bytes));
        let end = 0;
        for (const part of parts) expect(ends).toContain((end += part.length));
      }),
    );
  });

  it("leaves of fields of one number that are too long their beginning, wherever the bytes are cut", () => {
    const fields = [
      [0x0a, 2, 1, 2],
      [0x12, ...varint(5_000), ...Array(5_000).fill(7)],
      [0x12, 3, 1, 2, 3],
      [0x12, ...varint(1_000), ...Array(1_000).fill(8)],
      [0x1a, 1, 9],
    ];
    const short = (length: number, byte: number) => [0x12, ...varint(length + 1), ...Array(length).fill(byte), 0xff];
    const expected = [fields[0], short(1_024, 7), fields[2], short(1_000, 8), fields[4]];

    for (const size of [1, 7, 1_000, 1_026, 10_000]) {
      const splitter = createFieldSplitter({ ...options, shortened: 2 });
      const bytes = Uint8Array.from(fields.flat());
      const parts: Uint8Array[] = [];
      for (let at = 0; at < bytes.length; at += size) parts.push(...splitter.push(bytes.subarray(at, at + size)));
      parts.push(splitter.rest());

      expect(Buffer.concat(parts)).toEqual(Buffer.from(Uint8Array.from(expected.flatMap((each) => each ?? []))));
    }
  });

  it("says so when the end of a field is missing that is too long", () => {
    const splitter = createFieldSplitter({ ...options, shortened: 2 });
    splitter.push(Uint8Array.from([0x12, ...varint(5_000), ...Array(4_999).fill(7)]));
    expect(() => splitter.rest()).toThrow("the end of a field is missing");
  });

  it.each<[string, number[], string]>([
    ["a field without a number", [0x02, 1, 0], "a field without a number"],
    ["a group", [0x0b], "a field of wire type 3"],
    ["a wire type that is none", [0x0f], "a field of wire type 7"],
    ["a number without an end", Array.from({ length: 11 }, () => 0xff), "a number of more than ten bytes"],
    ["a field that is announced too long", [0x12, ...varint(2 ** 40), ...Array(2_000).fill(1)], "more than 1000 bytes"],
  ])("refuses %s", (_, bytes, problem) => {
    expect(() => createFieldSplitter(options).push(Uint8Array.from(bytes))).toThrow(problem);
  });

  it("says so when the end is missing", () => {
    const splitter = createFieldSplitter(options);
    splitter.push(Uint8Array.of(0x12, 3, 1, 2));

    expect(() => splitter.rest()).toThrow("the end of a field is missing");
  });
});
