// Recorded streams that break off on their way, through a gateway: at places all over them, on HTTP and typed. The in-process
// twin, test/providers/cuts.test.ts, tries every byte.

import { ConnectError } from "@connectrpc/connect";
import { countTokens } from "gpt-tokenizer/encoding/o200k_base";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Role } from "../../gen/codygateway/v1/completions_pb.js";
import type { DemoCall } from "../../src/demo/call.js";
import { estimateTokens } from "../../src/models/tokens.js";
import { createSseScanner } from "../../src/providers/sse.js";
import type { UsageEvent } from "../../src/usage/event.js";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";
import { openStream } from "../helpers/open-stream.js";
import { type Surface, surfaces } from "../helpers/surfaces.js";
import { type RecordedStream, recordedStreams } from "../providers/recordings.js";

let gw: TestGateway;
const calls = new Map<string, (call: DemoCall) => void>();
beforeAll(async () => {
  const keys = [{ ref: "env:OPENAI_API_KEY" }];
  gw = await testGateway({
    actor: { limits: { chat_completions: [{ limit: 100_000, per: "24h" }, { inFlight: 100 }] } },
    file: ({ url }) => ({
      providers: [{ name: "local", kind: "openai-compatible", baseUrl: `${url}/v1`, keys, models: ["gpt-*"] }],
    }),
  });
  gw.upstream.script((call) => {
    calls.get(/cut-\d+(?=\.)/.exec(call.body.toString())?.[0] ?? "")?.(call);
    return { hold: true };
  }, Number.POSITIVE_INFINITY);
});
afterAll(() => gw[Symbol.asyncDispose]());

/** Which surface speaks an API, and which model makes the typed RPCs use it. */
const spoken: Readonly<Record<string, { readonly surface: string; readonly typed?: string }>> = {
  "anthropic messages": { surface: "/anthropic/v1/messages", typed: "anthropic/claude-sonnet-4-5" },
  "anthropic complete": { surface: "/v1/completions/anthropic" },
  "openai chat_completions": { surface: "/openai/v1/chat/completions", typed: "openai/gpt-4o" },
  "openai responses": { surface: "/openai/v1/responses", typed: "openai/gpt-5-codex" },
  "openai completions": { surface: "/openai/v1/completions" },
  "google generate_content": { surface: "/google/v1beta/models", typed: "google/gemini-2.5-flash" },
  "fireworks chat_completions": {
    surface: "/fireworks/v1/chat/completions",
    typed: "fireworks/accounts/fireworks/models/llama-v3p1-70b-instruct",
  },
  "fireworks completions": { surface: "/fireworks/v1/completions" },
  "openai-compatible chat_completions": { surface: "/local/v1/chat/completions", typed: "local/gpt-4o" },
  "openai-compatible completions": { surface: "/local/v1/completions" },
};

function surfaceOf(name: string): Surface {
  const native = surfaces.find((each) => each.name === name.replace("/local/", "/openai/")) as Surface;
  return name.startsWith("/local/") ? { ...native, path: () => name } : native;
}

/** What the meter makes of it, which is what the event is to tell, and what it says, which is to be counted where that is missing. */
function metered({ api }: RecordedStream, part: Buffer) {
  const meter = api.meter();
  const output = api.output?.();
  const read = (data: Buffer): void => {
    meter.event(data);
    output?.event(data);
  };
  const scanner = createSseScanner(read, { maxEventBytes: 16 * 1024 * 1024 });
  scanner.push(part);
  scanner.end();
  const { ended, usage } = meter;
  return { ended, usage, said: output?.said().text ?? "" };
}

/** Tokens of the event: those that were told, and the others as they are counted, by the vocabulary or by length. */
function expectUsage(event: UsageEvent, { usage, said }: ReturnType<typeof metered>, at: string): void {
  const { inputTokens, outputTokens } = usage;
  expect(event.usage, at).toMatchObject(usage);
  const estimated = inputTokens === undefined || outputTokens === undefined ? true : undefined;
  expect(event.usage.estimated, at).toBe(estimated);
  if (inputTokens === undefined) expect(event.usage.inputTokens, at).toBeGreaterThan(0);
  if (outputTokens === undefined)
    expect([countTokens(said), estimateTokens(said)], at).toContain(event.usage.outputTokens);
}

interface Cut {
  readonly id: string;
  readonly stream: RecordedStream;
  readonly part: Buffer;
  /** The upstream resets its connection; otherwise it ends it as if that were all. */
  readonly reset: boolean;
}

const all = recordedStreams();

/** Three places all over a stream, others for each, and its end. */
const cuts: readonly Cut[] = all
  .flatMap((stream, index) => {
    const { length } = stream.bytes;
    const from = 0.02 + (index % 4) / 8;
    const places = [from, from + 0.5].map((share) => Math.floor(share * length) + (index % 17));
    return [...places, length - 4, length].map((at, nth) => ({
      stream,
      at: Math.min(at, length),
      reset: nth % 2 === 0,
    }));
  })
  .map(({ stream, at, reset }, index) => ({ id: `cut-${index}`, stream, part: stream.bytes.subarray(0, at), reset }));

function arrival(id: string): Promise<DemoCall> {
  return new Promise((resolve) => calls.set(id, resolve));
}

/** Plays what is left of the recording. A reset comes once something of it was `passed` on: it could overtake all that there is. */
async function play(id: string, { part, reset }: Cut, complete: boolean, passed?: Promise<unknown>): Promise<void> {
  const call = await arrival(id);
  await call.send(part);
  if (reset && !complete) {
    await passed;
    await call.reset();
  } else call.end();
}

async function eventOf(id: string) {
  const event = await gw.event((each) => each.id.startsWith(`${id}.`));
  expect(gw.events.filter((each) => each.id.startsWith(`${id}.`))).toHaveLength(1);
  return event;
}

/** What the gateway writes into a stream that it cannot finish. */
const errorEvent = /\n+(event: error\n)?data: [^\n]*"error"[^\n]*\n\n$/;

async function overHttp(cut: Cut): Promise<void> {
  const { stream, part } = cut;
  const id = `${cut.id}00`;
  const surface = surfaceOf(spoken[`${stream.provider.kind} ${stream.api.name}`]?.surface ?? "");
  const told = metered(stream, part);
  const { ended } = told;
  const opening = openStream(gw.url + surface.path(true), {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "x-request-id": id, "x-sourcegraph-feature": "chat_completions" },
    body: surface.body(`This is ${id}.`, true),
  });
  await play(id, cut, ended !== undefined, opening);
  const answer = await opening;
  const at = `${stream.name}, ${part.length} bytes`;
  expect(await answer.ended, at).toBe(ended === undefined ? "broken" : "clean");
  const sent = part.toString("utf8");
  if (ended === undefined) {
    const passed = answer.received.replace(errorEvent, "");
    expect(passed, at).not.toBe(answer.received);
    // A reset can overtake bytes that were sent before it: what came is a beginning of them.
    if (cut.reset) expect(sent.startsWith(passed.replace(/\uFFFD+$/, "")), at).toBe(true);
    else expect(answer.received.startsWith(sent), at).toBe(true);
  } else expect(answer.received, at).toBe(sent);
  const event = await eventOf(id);
  expect(event.outcome, at).toBe(ended === "complete" ? "completed" : "failed");
  if (!cut.reset || ended !== undefined) expectUsage(event, told, at);
}

async function typed(cut: Cut): Promise<void> {
  const { stream, part } = cut;
  const model = spoken[`${stream.provider.kind} ${stream.api.name}`]?.typed;
  if (model === undefined) return;
  const id = `${cut.id}01`;
  const told = metered(stream, part);
  const { ended } = told;
  const playing = play(id, cut, ended !== undefined);
  const message = { role: Role.USER, parts: [{ kind: { case: "text" as const, value: `This is ${id}.` } }] };
  const completion = { model, input: { case: "chat" as const, value: { messages: [message] } } };
  const seen: (string | undefined)[] = [];
  let failure: ConnectError | undefined;
  try {
    const events = gw.client().completions.streamComplete({ completion }, { headers: { "x-request-id": id } });
    for await (const { event } of events) seen.push(event.case);
  } catch (error) {
    failure = ConnectError.from(error);
  }
  await playing;
  const at = `${stream.name}, ${part.length} bytes, typed`;
  const event = await eventOf(id);
  // Exactly one end, or an error: never neither, never both.
  expect([failure === undefined, seen.at(-1) === "finished"], at).toEqual(Array(2).fill(event.outcome === "completed"));
  expect(seen.filter((each) => each === "finished").length, at).toBe(failure ? 0 : 1);
  if (ended !== "complete") expect(event.outcome, at).toBe("failed");
  if (!cut.reset || ended !== undefined) expectUsage(event, told, at);
}

async function inTurn(run: (cut: Cut) => Promise<void>): Promise<void> {
  const left = [...cuts];
  const work = async (): Promise<void> => {
    for (let cut = left.shift(); cut; cut = left.shift()) await run(cut);
  };
  await Promise.all(Array.from({ length: 16 }, work));
}

it("are never taken for whole over HTTP, and tell what they had told", () => inTurn(overHttp));
it("have no end for typed callers that they did not have, and tell what they had told", () => inTurn(typed));
