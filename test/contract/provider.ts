import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { GatewayError, InvalidRequestError } from "../../src/errors.js";
import { scanJsonObject } from "../../src/lib/json.js";
import type { EmbeddingsApi } from "../../src/providers/embeddings.js";
import { pathFor, upstreamPath } from "../../src/providers/paths.js";
import type { Api, Meter, Provider } from "../../src/providers/provider.js";
import { createSseScanner } from "../../src/providers/sse.js";
import type { TypedApi, TypedEvent } from "../../src/providers/typed.js";
import { assemble, type PlainAnswer, plainAnswer } from "../providers/assemble.js";

/** What stands beside a recorded answer in `<name>.expected.json`. */
interface Expected {
  usage: object;
  /** Absent: the stream breaks off. */
  ended?: "complete" | "error";
  /** Absent: the answer has no typed form, and decoding it throws. */
  answer?: PlainAnswer;
  /** What the model says, where the typed answer has not all of that. */
  said?: string;
  /** The vectors of embeddings, as they stand in the answer. */
  vectors?: readonly string[];
}

/**
 * What a provider must do. `dir` below `test/testdata` has recorded streams (`.sse`) and whole answers (`.json`); those of an
 * API with an answer of its own stand in a folder by its name. The folder `requests` has recorded bodies: `<api>.<name>.json` as
 * the caller sends it, `….sdk.json` and `….sourcegraph.json` as the upstream gets it from either kind of route.
 */
export function describeProvider(provider: Provider, dir: string): void {
  describe(`provider ${provider.kind}`, () => {
    describeProviderItself(provider);
    describeRequests(provider, dir);
    for (const api of provider.apis) {
      const own = readRecordings(`${dir}/${api.name}`);
      describe(api.name, () => describeApi(provider, api, own.length > 0 ? own : readRecordings(dir)));
    }
  });
}

function describeProviderItself(provider: Provider): void {
  it("has APIs with names of their own and paths that model names cannot leave", () => {
    expect(new Set(provider.apis.map(({ name }) => name)).size).toBe(provider.apis.length);
    for (const one of provider.apis)
      for (const model of ["m", "../../x", "//evil.example/x", "a?b=c", "a#b", "https://evil.example/"]) {
        const url = new URL(`https://upstream.example/base${upstreamPath(pathFor(one, true), model)}`);
        expect(url.origin).toBe("https://upstream.example");
        expect(url.pathname.startsWith(one.paths[0].path === "" ? "/base" : "/base/")).toBe(true);
        expect(url.hash).toBe("");
      }
  });

  it("names headers in lower case, and none that carries a key among those of callers", () => {
    for (const { passHeaders, headers } of provider.apis) {
      for (const name of [...passHeaders, ...Object.keys(headers)]) expect(name).toBe(name.toLowerCase());
      for (const name of ["authorization", "x-api-key", "x-goog-api-key", "cookie"])
        expect(passHeaders).not.toContain(name);
    }
    expect(provider.authHeaders(undefined)).toEqual({});
    expect(Object.values(provider.authHeaders("secret")).join()).toContain("secret");
  });

  it.each(statuses)("writes errors of status %i that it can read", (status) => {
    const error = { status, reason: "QUOTA_EXCEEDED", message: 'you have "exceeded" it\u2028' };
    const body = Buffer.from(JSON.stringify(provider.errorBody(error, "req-1")));
    expect(provider.readError(body)).toBe(error.message);
  });

  it("finds no message in what is no error", () => {
    for (const text of ["", "<html>502</html>", "[]", "null", "{}", '{"error":{}}', '{"error":{"message":7}}'])
      expect(provider.readError(Buffer.from(text))).toBeUndefined();
  });

  it("keeps an upstream's message to one line of bounded length", () => {
    const message = `a\n\u0000\u001b[31mb${"x".repeat(5000)}`;
    const read = provider.readError(Buffer.from(JSON.stringify({ type: "error", error: { message } })));
    expect(read).toMatch(/^a \[31mbx+$/);
    expect(read?.length).toBeLessThanOrEqual(1024);
  });

  if (provider.modelList)
    it("lists models in its own shape", () => {
      const names = ["b", "a", "__proto__"];
      expect(provider.modelList?.read(JSON.parse(JSON.stringify(provider.modelList.write(names))))).toEqual(names);
      expect(provider.modelList?.read(JSON.parse(JSON.stringify(provider.modelList.write([]))))).toEqual([]);
      for (const body of [
        undefined,
        null,
        [],
        {},
        { data: {} },
        { data: [{}] },
        { data: [null] },
        { data: [{ id: 1 }] },
        { models: {} },
        { models: [{}] },
        { models: [null] },
        { models: [{ name: 1 }] },
      ])
        expect(() => provider.modelList?.read(body)).toThrow();
    });

  it("refuses malformed bodies with the field and what was expected, and nothing else", () => {
    for (const one of provider.apis)
      for (const text of malformedBodies) {
        const body = scanJsonObject(Buffer.from(text));
        const relay = () => {
          const { model = "" } = one.read(body);
          const rewrite = { model, endUser: "actor:user", sourcegraph: { maxTokens: 4000 } };
          return body.with(one.rewrite(body, rewrite));
        };
        expect(outcomeOf(relay), text).not.toBeInstanceOf(TypeError);
        expect(
          outcomeOf(() => one.prompt(body)),
          text,
        ).not.toBeInstanceOf(TypeError);
      }
  });

  it("leaves a body alone in which nothing must change", () => {
    for (const one of provider.apis) {
      const body = scanJsonObject(Buffer.from(' { "model":"m", "messages":[ ], "x":1e400,"max_tokens": 10.0 } '));
      const edits = one.rewrite(body, { model: "m", endUser: undefined, sourcegraph: undefined });
      expect(body.with(edits)).toBe(body.bytes);
    }
  });
}

function describeRequests(provider: Provider, dir: string): void {
  const path = testdata(`${dir}/requests`);
  const files = existsSync(path) ? readdirSync(path).filter((file) => /\.(sdk|sourcegraph)\.json$/.test(file)) : [];

  it.each(files)("sends %s as recorded, to the byte", (file) => {
    const [apiName = "", name = "", route = ""] = file.split(".");
    const api = provider.apis.find((each) => each.name === apiName) as Api;
    const body = scanJsonObject(readFileSync(`${path}${apiName}.${name}.json`));
    const asked = api.read(body, {}).model ?? "gemini-2.5-pro";
    const model = asked.startsWith(`${provider.kind}/`) ? asked.slice(provider.kind.length + 1) : asked;
    const instance = { model, endUser: "acme:42", sourcegraph: { maxTokens: 4000 } };
    const rewrite = route === "sdk" ? { model, endUser: undefined, sourcegraph: undefined } : instance;
    expect(body.with(api.rewrite(body, rewrite)).toString()).toBe(readFileSync(path + file, "utf8"));
  });
}

type Recording = ReturnType<typeof readRecordings>[number];

function describeApi(provider: Provider, api: Api, recordings: readonly Recording[]): void {
  const named = recordings.map(({ file, ...rest }) => [file, rest] as const);
  const streams = named.filter(([, { stream }]) => stream);

  it("survives garbage in events and bodies", () => {
    for (const garbage of malformedAnswers) {
      const meter = api.meter();
      expect(() => meter.event(Buffer.from(garbage))).not.toThrow();
      expect(() => api.meter().whole(Buffer.from(garbage))).not.toThrow();
      expect(Object.values(meter.usage).every(Number.isInteger)).toBe(true);
      const output = api.output?.();
      expect(() => output?.event(Buffer.from(garbage))).not.toThrow();
      expect(() => output?.whole(Buffer.from(garbage))).not.toThrow();
      expect(() => output?.said()).not.toThrow();
    }
  });

  if (api.free) return;
  it("has recordings", () => {
    expect(recordings.length).toBeGreaterThan(0);
  });

  it.each(named)("meters %s", (_file, recording) => {
    expect(measure(api, recording.bytes, recording.stream)).toEqual(metered(recording.expected));
  });

  it.each(streams)("meters %s alike wherever it is cut", (_file, { bytes, expected }) => {
    const told = JSON.stringify(measureChunks(api, [bytes]));
    // At every byte, test/providers/cuts.test.ts cuts them; at every seventh, every place in an event has its turn in some.
    const cuts = Array.from({ length: Math.ceil((bytes.length + 1) / 7) }, (_, index) => 7 * index);
    const measured = (cut: number) => measureChunks(api, [bytes.subarray(0, cut), bytes.subarray(cut)]);
    expect(cuts.filter((cut) => JSON.stringify(measured(cut)) !== told)).toEqual([]);
    expect(measureChunks(api, bytewise(bytes))).toEqual(metered(expected));
  });

  it.each(streams)("meters %s alike with other line ends", (_file, { bytes, expected }) => {
    for (const lineEnd of ["\r\n", "\r"]) {
      const other = Buffer.from(bytes.toString("utf8").replaceAll("\n", lineEnd));
      expect(measureChunks(api, [other])).toEqual(metered(expected));
      expect(measureChunks(api, bytewise(other))).toEqual(metered(expected));
    }
  });

  if (api.embeddings) describeEmbeddings(api.embeddings, named);
  if (api.feature === "embeddings") return;
  it("ends a broken stream with an error that its meter takes for one", () => {
    for (const sent of ["", "event: x\n", ": comment", ...streams.map(([, { bytes }]) => wholeEvents(bytes))])
      expect(measureChunks(api, [Buffer.from(sent + provider.streamError(broken))]).ended).toBe("error");
  });

  if (api.typed) describeTyped(provider, { ...api, typed: api.typed }, named);
}

function describeEmbeddings(api: EmbeddingsApi, named: readonly (readonly [string, Omit<Recording, "file">])[]): void {
  const texts = ["one", 'a "quoted"\n text', "…"];
  const encoded = () =>
    scanJsonObject(
      Buffer.from(JSON.stringify(api.encode({ inputs: texts, dimensions: undefined, purpose: "document" }, "m"))),
    );

  it.each(named)(
    "finds the vectors of %s, digit by digit, and not those of another number of inputs",
    (_file, { bytes, expected }) => {
      const { vectors = [] } = expected;
      const read = api.read(bytes, vectors.length).vectors.map((vector) => vector?.toString());
      expect(read).toEqual(vectors);
      if (vectors.length > 1) expect(() => api.read(bytes, 1)).toThrow();
    },
  );

  it("divides a body as the texts stand in it", () => {
    const body = encoded();
    const inputs = api.inputs(body);
    expect(inputs).toHaveLength(texts.length);
    expect(api.texts(body)).toEqual(texts);
    const part = scanJsonObject(api.withInputs(body, inputs.slice(1)));
    expect(api.texts(part)).toEqual(texts.slice(1));
    expect(api.inputs(part)).toEqual(inputs.slice(1));
  });

  it("throws when an answer is none", () => {
    for (const garbage of [
      ...malformedAnswers,
      '{"data":[]',
      '{"data":[{"embedding":[null]}]}',
      '{"data":[{"embedding":[NaN]}]}',
    ])
      expect(() => api.read(Buffer.from(garbage), 1), garbage).toThrow();
  });
}

const broken = { status: 503, reason: "UPSTREAM_INTERRUPTED", message: "broke\noff" };

function describeTyped(
  provider: Provider,
  api: TypedOne,
  named: readonly (readonly [string, Omit<Recording, "file">])[],
): void {
  it.each(named)("decodes %s", (_file, { bytes, stream, expected }) => {
    const answer = () => decode(api, bytes, stream);
    if (expected.answer) expect(answer()).toEqual({ ...expected.answer, usage: expected.usage });
    else expect(answer).toThrow();
  });

  const told = named.filter(([, { expected }]) => expected.answer);
  it.each(told)("reads what %s says, all of it and once", (_file, { bytes, stream, expected }) => {
    const parts = (expected.answer?.parts ?? []) as readonly SaidPart[];
    const said = parts.map(({ text, thinking, toolUse }) => text ?? thinking ?? JSON.stringify(toolUse?.input) ?? "");
    expect(bare(outputOf(api, bytes, stream))).toBe(bare(expected.said ?? said.join("")));
  });

  it("throws when an answer is none, and never anything but an error it means", () => {
    for (const garbage of malformedAnswers) {
      expect(() => api.typed.decode(parsed(garbage)), garbage).toThrow(/./);
      const events = () => {
        const decoder = api.typed.decoder();
        decoder.event(garbage);
        decoder.end();
      };
      expect(outcomeOf(events), garbage).toMatchObject({ name: "UnreadableAnswerError" });
    }
  });

  it("throws at the error that ends a broken stream", () => {
    const [first] = named.filter(([, { stream }]) => stream);
    const sent = wholeEvents(first?.[1].bytes ?? Buffer.of());
    expect(() => decode(api, Buffer.from(sent + provider.streamError(broken)), true)).toThrow();
  });
}

/** A part as far as it is words. */
interface SaidPart {
  readonly text?: string;
  readonly thinking?: string;
  readonly toolUse?: { readonly input: object };
}

/** Without what JSON may have more or less of, and tools without input. */
function bare(text: string): string {
  return text.replaceAll(/\s/g, "").replaceAll("{}", "");
}

type TypedOne = Api & { readonly typed: TypedApi };

const statuses = [400, 401, 402, 403, 404, 409, 413, 422, 429, 500, 502, 503, 504, 529];

const malformedBodies = [
  "{}",
  '{"model":null,"messages":null}',
  '{"model":7,"messages":[]}',
  '{"model":["m"],"messages":[]}',
  '{"model":{"m":1},"messages":[]}',
  '{"model":"","messages":[]}',
  '{"model":"\\ud800","messages":[]}',
  '{"model":"\\x","messages":[]}',
  '{"model":"m","messages":{}}',
  '{"model":"m","messages":"hello"}',
  '{"model":"m","messages":[null,1,"x",[]]}',
  '{"model":"m","messages":["\\x"]}',
  '{"model":"m","messages":[{"role":"system"}]}',
  '{"model":"m","messages":[{"role":"system","content":[]}]}',
  '{"model":"m","messages":[{"role":"system","content":[null,{},{"type":"text"},{"type":"text","text":7}]}]}',
  '{"model":"m","messages":[{"role":"system","content":{"text":"x"}}]}',
  '{"model":"m","messages":[],"stream":"yes"}',
  '{"model":"m","messages":[],"stream":1}',
  '{"model":"m","messages":[],"stream":true,"stream_options":7}',
  '{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":1,"include_usage":2}}',
  '{"model":"m","messages":[],"max_tokens":"4000"}',
  '{"model":"m","messages":[],"max_tokens":-5}',
  '{"model":"m","messages":[],"max_tokens":1e400}',
  '{"model":"m","messages":[],"max_tokens":4001}',
  '{"model":"m","messages":[],"metadata":"x"}',
  '{"model":"m","messages":[],"metadata":{"user_id":1,"user\\u005fid":2}}',
  '{"model":"m","messages":[],"top_p":"x","n":"y"}',
  '{"model":"m","messages":[],"__proto__":{"model":"x"},"constructor":1,"toString":2}',
  '{"model":"m","contents":null}',
  '{"model":"m","contents":"hello"}',
  '{"model":7,"contents":[]}',
  '{"model":"m","contents":[null,1,"x",[],{"parts":7},{"parts":[7]}]}',
  '{"model":"m","contents":["\\x"]}',
  '{"model":"m","contents":[],"generationConfig":7}',
  '{"model":"m","contents":[],"generationConfig":{"maxOutputTokens":"x","topP":"y","candidateCount":{}}}',
  '{"model":"m","contents":[],"generationConfig":{"topP":-1,"topP":-2}}',
  '{"model":"m","contents":[],"systemInstruction":7,"stream":"yes"}',
  '{"model":"m","generateContentRequest":7}',
  '{"model":"m","generateContentRequest":{"model":7}}',
  '{"model":"m","prompt":7}',
  '{"model":"m","prompt":[]}',
  '{"model":"m","prompt":[null,[1],{}],"suffix":7}',
  '{"model":"m","prompt":"x","n":"3","best_of":"4"}',
  '{"model":"m","input":7}',
  '{"model":"m","input":[]}',
  '{"model":"m","input":[null,1,{}]}',
  '{"model":"m","input":["x"],"dimensions":"y"}',
  '{"model":"m","requests":7}',
  '{"model":"m","requests":[]}',
  '{"model":"m","requests":[7]}',
  '{"model":"m","requests":[{"content":7}]}',
  '{"model":"m","requests":[{"content":{"parts":7},"model":7}]}',
  '{"model":"m","content":7}',
  '{"model":"m","content":{"parts":[7]}}',
];

const malformedAnswers = [
  '{"output":{}}',
  '{"output":[7]}',
  '{"output":[{"type":"message"}],"status":"completed"}',
  '{"output":[{"type":"message","content":[{"type":"output_text"}]}]}',
  '{"output":[{"type":"function_call","call_id":"c","name":"f","arguments":"[]"}]}',
  '{"output":[{"type":"function_call","arguments":"{}"}]}',
  '{"output":[{"type":"reasoning","summary":[7]}]}',
  '{"output":[],"status":"failed"}',
  '{"type":"response.completed"}',
  '{"type":"response.completed","response":{"output":7}}',
  '{"type":"response.failed","response":{"output":[],"status":"failed","error":{"message":7}}}',
  '{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"x"}',
  '{"type":"response.function_call_arguments.delta","output_index":0,"delta":"x"}',
  '{"type":"response.output_item.added","item":{"type":"function_call"}}',
  '{"type":"response.output_item.done","item":7}',
  " ",
  "null",
  "7",
  "[]",
  "[DONE",
  '"text"',
  "{}",
  '{"usage":7,"error":null}',
  '{"usage":{"input_tokens":-1,"prompt_tokens":1.5,"output_tokens":"9","completion_tokens":1e99}}',
  '{"type":"message_start"}',
  '{"type":"message_start","message":null}',
  '{"type":"message_start","message":{"usage":[]}}',
  '{"type":"message_delta","usage":null}',
  '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}',
  '{"type":"content_block_start","index":0,"content_block":null}',
  '{"type":"content_block_stop"}',
  '{"type":"message_stop"}',
  '{"type":"message","id":"m","content":{}}',
  '{"type":"message","id":"m","content":[{"type":"tool_use","id":"x","name":"y","input":"z"}]}',
  '{"type":"message","content":[]}',
  '{"type":"error"}',
  '{"error":"x"}',
  '{"choices":{}}',
  '{"choices":[]}',
  '{"choices":[7]}',
  '{"choices":[{"message":7,"delta":7}]}',
  '{"choices":[{"message":{"content":7},"delta":{"content":7}}]}',
  '{"choices":[{"message":{"tool_calls":[7]},"delta":{"tool_calls":[7]}}]}',
  '{"choices":[{"message":{"tool_calls":[{"function":{"arguments":"{}"}}]},"delta":{"tool_calls":[{"index":0}]}}]}',
  '{"choices":[{"message":{"tool_calls":[{"function":{"name":"f","arguments":"[]"}}]},"delta":{"tool_calls":{}}}]}',
  '{"usage":{"prompt_tokens":1}',
  '{"candidates":{}}',
  '{"candidates":[]}',
  '{"candidates":[7]}',
  '{"candidates":[{"content":7}]}',
  '{"candidates":[{"content":{"parts":{}}}]}',
  '{"candidates":[{"content":{"parts":[7]}}]}',
  '{"candidates":[{"content":{"parts":[{"functionCall":{"args":{}}}]}}]}',
  '{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":[]}}]}}]}',
  '{"candidates":[{"content":{"parts":[{"text":7}]}}]}',
  '{"promptFeedback":7,"usageMetadata":[]}',
  '{"usageMetadata":{"promptTokenCount":-1,"candidatesTokenCount":"9","totalTokenCount":1e99}}',
];

function testdata(dir: string): string {
  return fileURLToPath(new URL(`../testdata/${dir}/`, import.meta.url));
}

function readRecordings(dir: string) {
  const path = testdata(dir);
  const files = existsSync(path) ? readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isFile()) : [];
  return files
    .map(({ name }) => name)
    .filter((file) => !file.endsWith(".expected.json"))
    .map((file) => {
      const expected = JSON.parse(readFileSync(path + file.replace(/\.\w+$/, ".expected.json"), "utf8")) as Expected;
      return { file, bytes: readFileSync(path + file), stream: file.endsWith(".sse"), expected };
    });
}

function metered({ usage, ended }: Expected) {
  return { usage, ended };
}

function measure(api: Api, bytes: Buffer, stream: boolean): Pick<Meter, "usage" | "ended"> {
  if (stream) return measureChunks(api, [bytes]);
  const meter = api.meter();
  meter.whole(bytes);
  return { usage: meter.usage, ended: meter.ended };
}

function bytewise(bytes: Buffer): Buffer[] {
  return [...bytes].map((byte) => Buffer.of(byte));
}

function measureChunks(api: Api, chunks: readonly Buffer[]): Pick<Meter, "usage" | "ended"> {
  const meter = api.meter();
  const scanner = createSseScanner((data) => meter.event(data), { maxEventBytes: 65_536 });
  for (const chunk of chunks) scanner.push(chunk);
  scanner.end();
  return { usage: meter.usage, ended: meter.ended };
}

/** What a reader of the API's answers finds in one. */
function outputOf({ output }: Api, bytes: Buffer, stream: boolean): string {
  const reader = output?.();
  if (!reader) throw new Error("answers cannot be counted");
  if (!stream) reader.whole(bytes);
  else {
    const scanner = createSseScanner((data) => reader.event(data), { maxEventBytes: 65_536 });
    scanner.push(bytes);
    scanner.end();
  }
  return reader.said().text;
}

function decode({ typed }: TypedOne, bytes: Buffer, stream: boolean): PlainAnswer & { usage: object } {
  if (!stream) return plainAnswer(typed.decode(JSON.parse(bytes.toString("utf8"))));
  const decoder = typed.decoder();
  const events: TypedEvent[] = [];
  const scanner = createSseScanner((data) => events.push(...decoder.event(data.toString("utf8"))), {
    maxEventBytes: 65_536,
  });
  scanner.push(bytes);
  return assemble([...events, ...decoder.end()]);
}

/** The stream up to its last whole event but one. */
function wholeEvents(bytes: Buffer): string {
  const text = bytes.toString("utf8");
  return text.slice(0, text.lastIndexOf("\n\n", text.length - 3) + 2);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** What it returns or throws; an error that the gateway does not mean is thrown on. */
function outcomeOf(act: () => unknown): unknown {
  try {
    return act();
  } catch (error) {
    if (error instanceof InvalidRequestError) expect(error.message).not.toBe("");
    else if (error instanceof GatewayError) throw error;
    return error;
  }
}
