import { describe, expect, it } from "vitest";
import { outputOf } from "../../src/providers/output.js";

const open = outputOf({ streamed: ["text", "thought"], whole: ["text"], objects: ["input"] });

function read(...events: string[]) {
  const output = open();
  for (const event of events) output.event(Buffer.from(event));
  return output.said();
}

describe("the reader of what an answer says", () => {
  it.each([
    ["nothing", [], ""],
    ["strings by their names", ['{"a":"no","text":"one","b":{"thought":" two"}}'], "one two"],
    ["spaces anywhere", ['{ "text" :\r\n "one" }', '{"x":1,"text": " two"}'], "one two"],
    [
      "what is escaped",
      ['{"text":"a \\"b\\" \\\\"}', '{"text":"\\u00fc\\n\\ud83d"}', '{"text":"\\ude42"}'],
      'a "b" \\ü\n🙂',
    ],
    ["no names inside strings", ['{"x":"\\"text\\":\\"no\\"","y":"text","text":"yes"}'], "yes"],
    ["no other kinds of values", ['{"text":7}', '{"text":null}', '{"text":["no"]}', '{"text":{"a":"no"}}'], ""],
    ["objects as they are", ['{"input":{"q":"a\\"b"},"text":"!"}', '{"input":{}}', '{"input":"no"}'], '{"q":"a\\"b"}!'],
    ["the same under two names once", ['{"thought":"same","text":"same"}', '{"text":"same"}'], "samesame"],
    [
      "what comes at other places",
      ['{"text":"a"}', '{"index":1,"text":"b"}', '{"text":"c"}', '{"x":{"text":"d"}}'],
      "abcd",
    ],
    ["what is no JSON, as far as it goes", ['{"text":"a', '"text"', "[DONE]", '{"text":"b"}', '{"text":"c\\'], "abc\\"],
  ])("reads %s", (_what, events, text) => {
    expect(read(...events)).toEqual({ text, times: 1 });
  });

  it("reads whole bodies by other names, near or far", () => {
    const output = open();
    const far = { padding: "x".repeat(100_000), thought: "no", text: "yes " };
    output.whole(Buffer.from(JSON.stringify({ choices: [{ text: "first " }, far, { input: { a: [1] } }] })));
    expect(output.said()).toEqual({ text: 'first yes {"a":[1]}', times: 1 });
  });

  it("keeps the beginning of a long answer, and its length", () => {
    const { text, times } = read(...Array<string>(4_000).fill('{"text":"0123456789"}'));
    expect(text).toBe("0123456789".repeat(820).slice(0, 8_192));
    expect(text.length * times).toBeCloseTo(40_000);
  });

  it.each(["x", "ü", "界", "🙂", "\n", "\\"])("cuts one long piece of %j between its characters", (character) => {
    for (const before of ["", "a", "ab", "abc"]) {
      const { text, times } = read(JSON.stringify({ text: before + character.repeat(9_000) }), '{"text":"more"}');
      expect(text).toBe((before + character.repeat(9_000)).slice(0, text.length));
      expect(Buffer.byteLength(JSON.stringify(text)) - 2).toBeGreaterThan(8_192 - 4);
      expect(times).toBeGreaterThan(1);
    }
  });

  it("cuts none of the escapes that write a character by its number", () => {
    const { text } = read(`{"text":"a${"\\u754c".repeat(2_000)}"}`);
    expect(text).toBe(`a${"界".repeat(1_365)}`);
  });
});
