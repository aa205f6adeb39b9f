import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  JsonSyntaxError,
  lastMember,
  maxJsonDepth,
  maxJsonItems,
  maxJsonKeys,
  scanJsonObject,
} from "../../src/lib/json.js";
import { anyCharacter } from "../helpers/any-character.js";
import { cpuMs } from "../helpers/timed.js";

const scan = (text: string) => scanJsonObject(Buffer.from(text));

describe("scanJsonObject", () => {
  it("finds members, whatever stands between them", () => {
    const body = scan(
      ' {\t"a" :1,\r\n"b":[ {} , "]" ,[]], "c" : {"d":"}"} ,"e":"\\"","f":null,"":true,"g":-1.5E+3 } \n',
    );
    expect(body.get("a")).toBe(1);
    expect(body.raw("b")).toBe('[ {} , "]" ,[]]');
    expect(body.items("b")).toEqual(["{}", '"]"', "[]"]);
    expect(body.get("c")).toEqual({ d: "}" });
    expect(body.get("e")).toBe('"');
    expect(body.get("f")).toBeNull();
    expect(body.has("")).toBe(true);
    expect(body.get("g")).toBe(-1500);
    expect(["a", "b", "c", "e", "f", "", "h"].map((key) => body.kind(key))).toEqual([
      "number",
      "array",
      "object",
      "string",
      "null",
      "boolean",
      undefined,
    ]);
  });

  it("knows nothing of members that are not there", () => {
    const body = scan("{ }");
    for (const key of ["a", "__proto__", "constructor", "toString"]) {
      expect(body.has(key)).toBe(false);
      expect(body.get(key)).toBeUndefined();
      expect(body.raw(key)).toBeUndefined();
      expect(body.items(key)).toBeUndefined();
    }
  });

  it("has items of arrays only", () => {
    const body = scan('{"a":[],"b":{},"c":"[1]","d":[ 1 , [2,3] ]}');
    expect(body.items("a")).toEqual([]);
    expect(body.items("b")).toBeUndefined();
    expect(body.items("c")).toBeUndefined();
    expect(body.items("d")).toEqual(["1", "[2,3]"]);
  });

  it.each([0, 1, 2, 30, 31, 32, 33, 34, 100])(
    "finds the end of a text of %i letters and some backslashes",
    (letters) => {
      for (const end of ["", "\\\\", "\\\\\\\\", '\\"', '\\\\\\"', '\\"\\"x', "\\\\x"]) {
        const text = `"${"x".repeat(letters)}${end}"`;
        const body = scan(`{"a":${text},"b":[${text}],${text}:1}`);
        expect(body.raw("a")).toBe(text);
        expect(body.items("b")).toEqual([text]);
      }
    },
  );

  it("reads keys as JSON does", () => {
    expect(scan('{"mod\\u0065l":"x"}').get("model")).toBe("x");
    expect(scan('{"__proto__":"x"}').get("__proto__")).toBe("x");
  });

  it.each([
    ["twice", '{"model":"a","model":"b"}'],
    ["escaped", '{"model":"a","mod\\u0065l":"b"}'],
    ["in another case", '{"model":"a","Model":"b"}'],
    ["in capitals first", '{"MODEL":"a","model":"b"}'],
    ["with the Kelvin sign", '{"key":"a","\u212aey":"b"}'],
    ["with the long s", '{"stream":false,"\u017ftream":true}'],
    ["as surrogates", '{"\\ud83d\\udc4b":1,"👋":2}'],
  ])("refuses a key that stands there %s", (_how, text) => {
    expect(() => scan(text)).toThrow(/^duplicate key/);
  });

  it.each([
    "",
    " ",
    "{",
    "}",
    "null",
    "[]",
    '"{}"',
    "{}{}",
    "{} x",
    "{,}",
    '{"a":1,}',
    '{"a" 1}',
    '{"a":}',
    '{"a":1 "b":2}',
    "{a:1}",
    "{'a':1}",
    "{1:1}",
    '{"a',
    '{"a"',
    '{"a":"',
    '{"a":"\\"}',
    '{"a\\x":1}',
    '{"a\n":1}',
    '{"a":[}',
    '{"a":[1',
    '{"a":[1,]}',
    '{"a":[,1]}',
    '{"a":[1 2]}',
    '{"a":[1}]',
    '{"a":{"b"}}',
    '{"a":{"b":}}',
    '{"a":{"b":1,}}',
    '{"a":{b:1}}',
    '{"a":[/* " */]}',
    '{"a":[1 // "\n]}',
    '{"a":tru}',
    '{"a":True}',
    '{"a":truex}',
    '{"a":nul}',
    '{"a":NaN}',
    '{"a":-Infinity}',
    '{"a":undefined}',
    '{"a":01}',
    '{"a":1.}',
    '{"a":.5}',
    '{"a":+1}',
    '{"a":-}',
    '{"a":1e}',
    '{"a":1e+}',
    '{"a":0x10}',
    '{"a":1_000}',
    '{"a":[01]}',
    '{"a":[0x1]}',
    "\ufeff{}",
    '{"a":1}\u0000',
    '{\u00a0"a":1}',
  ])("refuses %j", (text) => {
    expect(() => scan(text)).toThrow(JsonSyntaxError);
  });

  it("refuses what is not UTF-8", () => {
    for (const bytes of [[0xff], [0xc0, 0xa2], [0xed, 0xa0, 0x80], [0xc3]])
      expect(() => scanJsonObject(Buffer.from([...Buffer.from('{"a":"'), ...bytes, ...Buffer.from('"}')]))).toThrow(
        "not UTF-8",
      );
    expect(() => scanJsonObject(Buffer.from('{"model":"a"}', "utf16le"))).toThrow(JsonSyntaxError);
  });

  it("leaves texts inside to those who read them", () => {
    const body = scan('{"a":"\\x","b":["\u0001"]}');
    expect(() => body.get("a")).toThrow(JsonSyntaxError);
    expect(() => body.get("b")).toThrow(JsonSyntaxError);
    expect(body.raw("a")).toBe('"\\x"');
  });

  it("accepts what JSON accepts", () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.oneof(fc.string(), fc.string({ unit: anyCharacter })), fc.jsonValue({ maxDepth: 5 })),
        (value) => {
          if (hasTwins(Object.keys(value))) return;
          for (const text of [JSON.stringify(value), JSON.stringify(value, null, "\t")]) {
            const body = scan(text);
            for (const [key, member] of Object.entries(value)) expect(body.get(key)).toEqual(jsonOf(member));
          }
        },
      ),
    );
  });

  it("accepts nothing that JSON refuses, texts aside", () => {
    const piece = fc.constantFrom("{", "}", "[", "]", ",", ":", '"a"', '"b"', "1", "-", ".", "e", "true", "nul", " ");
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const text = `{"x":${pieces.join("")}}`;
        const accepted = accepts(() => scan(text));
        const valid = accepts(() => JSON.parse(text));
        expect(accepted, text).toBe(valid && !duplicated(text));
      }),
      { numRuns: 3000 },
    );
  });
});

describe("bombs", () => {
  it("refuses depth at the bound", () => {
    expect(scan(nested(maxJsonDepth)).kind("a")).toBe("array");
    expect(() => scan(nested(maxJsonDepth + 1))).toThrow("nested deeper than 64 levels");
    expect(() => scan('{"a":'.repeat(maxJsonDepth + 1))).toThrow("nested deeper");
  });

  it("refuses keys at the bound, on whichever level", () => {
    expect(scan(`{${keys(maxJsonKeys)}}`).has(`k${maxJsonKeys - 1}`)).toBe(true);
    expect(() => scan(`{${keys(maxJsonKeys + 1)}}`)).toThrow(`more than ${maxJsonKeys} keys`);
    expect(() => scan(`{"a":[{${keys(maxJsonKeys)}}]}`)).toThrow(`more than ${maxJsonKeys} keys`);
  });

  it("takes apart no endless arrays", () => {
    expect(scan(ones(maxJsonItems)).items("a")).toHaveLength(maxJsonItems);
    expect(() => scan(ones(maxJsonItems + 1)).items("a")).toThrow(JsonSyntaxError);
  });

  const mebibyte = 2 ** 20;
  it.each([
    ["open brackets", '{"a":', "["],
    ["objects", "", '{"a":'],
    ["digits", '{"a":', "1"],
    ["empty texts", '{"a":[', '"",'],
    ["empty arrays", '{"a":[', "[],"],
    ["backslashes", '{"a":"', "\\"],
    ["escaped quotes", '{"a":"', '\\"'],
    ["white space", '{"a":', " "],
    ["numbers", '{"a":[', "1,"],
    ["exponents", '{"a":1e', "9"],
  ])("is done with a mebibyte of %s in no time", (_what, head, unit) => {
    const bytes = Buffer.from(head + unit.repeat(mebibyte / unit.length));
    const took = cpuMs(() => expect(() => scanJsonObject(bytes)).toThrow(JsonSyntaxError));
    // It takes 2 to 30; the rest is for busy machines. In proportion to the square it would take minutes.
    expect(took).toBeLessThan(1000);
  });
});

describe("lastMember", () => {
  it.each([
    ['{"usage":1}', "1"],
    ['{"a":[1],"usage" : {"b":[2]} , "c":"}","d":{"e":[{}]} } \n', '{"b":[2]}'],
    ['{"a":"usage","usage":null}', "null"],
    ['{"a":"\\"usage\\":1","usage":2}', "2"],
    ['{"x":{"usage":1},"usage":2,"y":1}', "2"],
    ['{"x":{"usage":1}}', undefined],
    ['{"usage":2,"x":{"usage":1}}', undefined],
    ['{"usage":2,"x":[{"usage":1}]}', undefined],
    ['{"usage":2,"x":"usage"}', undefined],
    ['[{"usage":2}]', undefined],
    ['{"usage":2', undefined],
    ['{"usage":}', undefined],
    ['{"usage":2}}', undefined],
    ['{"usage":2}x', undefined],
    ['{"usage":2,}', undefined],
    ["{}", undefined],
    ["", undefined],
  ])("in %s is %s", (text, expected) => {
    expect(lastUsage(text)).toBe(expected);
  });

  it("is a member of the object itself, or none", () => {
    const key = fc.constantFrom("usage", "a", "b");
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof({ maxDepth: 4 }, fc.constantFrom("usage", '"usage":7', 1, null), tie("array"), tie("object")),
      array: fc.array(tie("value"), { maxLength: 3 }),
      object: fc.dictionary(key, tie("value"), { maxKeys: 3 }),
    }));
    fc.assert(
      fc.property(fc.dictionary(key, value, { maxKeys: 3 }), (object) => {
        const found = lastUsage(JSON.stringify(object));
        if (found !== undefined) expect(found).toBe(JSON.stringify((object as { usage?: unknown }).usage));
      }),
      { numRuns: 1000 },
    );
  });
});

describe("with", () => {
  it("gives the same bytes when nothing changes", () => {
    const body = scan(' {"a" : 1} ');
    expect(body.with(new Map())).toBe(body.bytes);
    expect(body.with(new Map([["b", undefined]]))).toBe(body.bytes);
  });

  it.each([
    ["sets", '{ "a" : 1 , "b":[1] }', [["a", "2"]], '{ "a" : 2 , "b":[1] }'],
    ["appends", ' {"a":1 } ', [["b", '"x"']], ' {"a":1 ,"b":"x"} '],
    ["appends to nothing", " { } ", [["b", "1"]], ' { "b":1} '],
    [
      "sets and appends",
      '{"a":1}',
      [
        ["b", "{}"],
        ["a", "0"],
      ],
      '{"a":0,"b":{}}',
    ],
    ["removes", '{"a":1, "b" : 1.0,"c":3}', [["a", undefined]], '{"b" : 1.0,"c":3}'],
    ["removes the last", '{"a":1,"b":2}', [["b", undefined]], '{"a":1}'],
    ["removes all", '{"a":1}', [["a", undefined]], "{}"],
    [
      "removes and appends",
      '{"a":1}',
      [
        ["a", undefined],
        ["b", "2"],
      ],
      '{"b":2}',
    ],
    [
      "keeps digits",
      '{"seed":9007199254740993,"t":1.0,"m":"x"}',
      [["m", '"y"']],
      '{"seed":9007199254740993,"t":1.0,"m":"y"}',
    ],
    ["keeps an escaped key", '{"mod\\u0065l":"x"}', [["model", '"y"']], '{"mod\\u0065l":"y"}'],
    ["adds __proto__ as a member", "{}", [["__proto__", "1"]], '{"__proto__":1}'],
  ] as [string, string, [string, string | undefined][], string][])("%s", (_what, text, changes, expected) => {
    expect(scan(text).with(new Map(changes)).toString()).toBe(expected);
  });

  it("does to any object what was asked, and nothing to the bytes of other members", () => {
    const key = fc.constantFrom(
      "a",
      "b",
      "model",
      "",
      "é",
      "__proto__",
      'q"\\',
      "long key with spaces in it, and more",
    );
    const json = fc.jsonValue({ maxDepth: 3 }).map((value) => JSON.stringify(value));
    const members = fc.uniqueArray(fc.tuple(key, json), { selector: ([name]) => name, maxLength: 6 });
    const space = fc.constantFrom("", " ", "\n\t", "  \r\n ");
    const changes = fc.array(fc.tuple(key, fc.option(json, { nil: undefined })), { maxLength: 4 });
    fc.assert(
      fc.property(members, space, changes, (before, gap, asked) => {
        const texts = before.map(([name, value]) => `${gap}${JSON.stringify(name)}${gap}:${gap}${value}${gap}`);
        const edits = new Map(asked);
        const after = scanJsonObject(scan(`${gap}{${texts.join()}}${gap}`).with(edits));

        const expected = new Map<string, string>(before);
        for (const [name, value] of edits) {
          if (value === undefined) expected.delete(name);
          else expected.set(name, value);
        }
        for (const name of ["a", "b", "model", "", "é", "__proto__", 'q"\\']) {
          expect(after.raw(name)).toBe(expected.get(name));
        }
        const entries = [...expected].map(([name, value]) => [name, JSON.parse(value)]);
        expect(JSON.parse(after.bytes.toString())).toEqual(Object.fromEntries(entries));
      }),
      { numRuns: 1000 },
    );
  });
});

function lastUsage(text: string): string | undefined {
  return lastMember(Buffer.from(text), Buffer.from('"usage"'));
}

function nested(levels: number): string {
  return `{"a":${"[".repeat(levels - 1)}${"]".repeat(levels - 1)}}`;
}

function keys(count: number): string {
  return Array.from({ length: count }, (_, index) => `"k${index}":1`).join();
}

function ones(count: number): string {
  return `{"a":[${Array.from({ length: count }, () => 1).join()}]}`;
}

function jsonOf(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

function hasTwins(names: readonly string[]): boolean {
  return new Set(names.map((key) => key.toUpperCase().toLowerCase())).size < names.length;
}

function accepts(act: () => unknown): boolean {
  try {
    act();
    return true;
  } catch {
    return false;
  }
}

/** Whether one of the top-level keys "x", "a", "b" of a valid text stands there twice. */
function duplicated(text: string): boolean {
  let depth = 0;
  const found: string[] = [];
  for (const [token] of text.matchAll(/"[xab]"\s*:|[{}[\]]/g)) {
    if (/[{[]/.test(token)) depth++;
    else if (/[}\]]/.test(token)) depth--;
    else if (depth === 1) found.push(token.slice(1, 2));
  }
  return new Set(found).size < found.length;
}
