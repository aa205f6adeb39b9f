// Whatever a body holds: what is rewritten changes what it must, and every other member keeps its very text.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GatewayError } from "../../src/errors.js";
import { type JsonObject, scanJsonObject } from "../../src/lib/json.js";
import { providers } from "../../src/providers/index.js";
import type { Api, Rewrite } from "../../src/providers/provider.js";

/** JSON texts of any kind, with numbers that parsers lose digits of, and names that objects have themselves. */
const number = fc.constantFrom("0", "-0", "0.0", "1.0", "1e2", "1E+2", "9007199254740993", "1e400", "-1", "0.1e-7");
const string = fc.oneof(
  fc.string({ maxLength: 8 }).map((text) => JSON.stringify(text)),
  fc.constantFrom('"\\u0041"', '"\\ud83d\\ude00"', '"\\/"', '"\\ud800"', '"é"'),
);
const key = fc.oneof(
  fc.string({ minLength: 1, maxLength: 6 }),
  fc.constantFrom("__proto__", "constructor", "toString", "length", "", "0", "Metadata_"),
);
const space = fc.constantFrom("", " ", "\n\t");
const { value } = fc.letrec<{ value: string; array: string; object: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    fc.constantFrom("true", "false", "null"),
    number,
    string,
    tie("array"),
    tie("object"),
  ),
  array: fc.tuple(space, fc.array(tie("value"), { maxLength: 3 })).map(([gap, items]) => `[${gap}${items.join(",")}]`),
  object: fc
    .tuple(space, fc.uniqueArray(fc.tuple(key, tie("value")), { maxLength: 3, selector: ([name]) => name }))
    .map(([gap, members]) => `{${members.map(([name, text]) => `${JSON.stringify(name)}${gap}:${text}`).join(",")}}`),
}));

/** Members that mean something to the APIs, with any value. */
const meaningful = [
  "stream",
  "n",
  "top_p",
  "top_k",
  "temperature",
  "max_tokens",
  "max_completion_tokens",
  "stop",
  "user",
  "metadata",
  "system",
  "tools",
  "stream_options",
  "languageId",
  "suffix",
  "best_of",
  "max_output_tokens",
  "background",
  "input",
  "generationConfig",
  "systemInstruction",
  "safetySettings",
  "max_tokens_to_sample",
  "generateContentRequest",
];

/** A body that has what its API demands, and anything else. */
function bodies({ name }: Api): fc.Arbitrary<string> {
  const required: Readonly<Record<string, string>> = {
    model: '"vendor/m"',
    ...(/content|count/.test(name) ? { contents: '[{"parts":[{"text":"hi"}]}]' } : {}),
    ...(/messages|chat|count/.test(name) ? { messages: '[{"role":"user","content":"hi"}]' } : {}),
    ...(/complet/.test(name) ? { prompt: '"hi"' } : {}),
    ...(name.startsWith("batch_embed") ? { requests: '[{"content":{"parts":[]},"model":"models/x"}]' } : {}),
  };
  const extra = fc.tuple(fc.oneof(key, fc.constantFrom(...meaningful)), value);
  return fc
    .tuple(fc.uniqueArray(extra, { maxLength: 8, selector: ([member]) => member.toLowerCase() }), space)
    .map(([members, gap]) => {
      const all = new Map([...Object.entries(required), ...members.filter(([member]) => !(member in required))]);
      return `{${gap}${[...all].map(([member, text]) => `${JSON.stringify(member)}${gap}:${gap}${text}`).join(`${gap},`)}}`;
    });
}

/** What is changed on SDK routes. */
const always = new Set(["model", "stream_options", "languageId", "generateContentRequest", "requests"]);
/** What is changed for existing Sourcegraph instances, beside. */
const forInstances = new Set([
  "user",
  "metadata",
  "system",
  "messages",
  "n",
  "top_p",
  "top_k",
  "temperature",
  "max_tokens",
  "stream",
  "generationConfig",
  "systemInstruction",
]);

const sdk: Rewrite = { model: "m", endUser: undefined, sourcegraph: undefined };
const instance: Rewrite = { model: "m", endUser: "acme:42", sourcegraph: { maxTokens: 4000 } };

function scan(text: string): JsonObject | undefined {
  try {
    return scanJsonObject(Buffer.from(text));
  } catch {
    return undefined;
  }
}

/** The body as it is sent; undefined when the API refuses it, which is for the field that it names. */
function rewritten(api: Api, body: JsonObject, rewrite: Rewrite): JsonObject | undefined {
  try {
    return scanJsonObject(body.with(api.rewrite(body, rewrite)));
  } catch (error) {
    if (error instanceof GatewayError) return undefined;
    throw error;
  }
}

const apis = providers.flatMap((provider) =>
  // What callers do not send is the gateway's own.
  provider.apis.filter(({ inner }) => !inner).map((api) => [`${provider.kind} ${api.name}`, api] as const),
);

describe.each(apis)("%s", (_name, api) => {
  it.each([
    ["SDK routes", sdk],
    ["routes of instances", instance],
  ])("keeps the text of what it does not change, on %s", (_route, rewrite) => {
    fc.assert(
      fc.property(bodies(api), (text) => {
        const body = scan(text);
        const sent = body && rewritten(api, body, rewrite);
        if (!body || !sent) return;
        const names = Object.keys(JSON.parse(text.replaceAll('"__proto__"', '"__proto_"')) as object);
        for (const name of names.map((each) => (each === "__proto_" ? "__proto__" : each))) {
          if (always.has(name) || (rewrite.sourcegraph && forInstances.has(name))) continue;
          expect(sent.raw(name), name).toBe(body.raw(name));
        }
        expect(sent.get("model")).toBe("m");
      }),
      { numRuns: 60 },
    );
  });

  it("changes nothing twice", () => {
    fc.assert(
      fc.property(bodies(api), (text) => {
        const body = scan(text);
        const sent = body && rewritten(api, body, instance);
        if (sent) expect(rewritten(api, sent, instance)?.bytes.toString()).toBe(sent.bytes.toString());
      }),
      { numRuns: 30 },
    );
  });
});
