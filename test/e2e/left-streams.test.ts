// Callers leave streams at any byte, on three protocols: the upstream is stopped, the slot is free, one event tells about as many
// tokens as the upstream has sent, and so many are charged.

import { createHash } from "node:crypto";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { countTokens } from "gpt-tokenizer/encoding/o200k_base";
import { Agent, fetch } from "undici";
import { afterAll, beforeAll, expect, it } from "vitest";
import {
  Role,
  StreamCompleteRequestSchema,
  StreamCompleteResponseSchema,
} from "../../gen/codygateway/v1/completions_pb.js";
import { LimitsService } from "../../gen/codygateway/v1/limits_pb.js";
import type { DemoCall } from "../../src/demo/call.js";
import { estimateTokens } from "../../src/models/tokens.js";
import { type TestGateway, testGateway } from "../helpers/gateway.js";
import { createChance } from "../helpers/mutations.js";
import { timed } from "../helpers/timed.js";

/** Pieces that the upstream sends, 2 ms between any two of them. It never ends: callers may be slow to leave. */
const pieces = 300;
const places = 20;
const model = "gpt-4o";

interface Protocol {
  readonly name: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Bytes of the answer that its caller may read at most: nearly all of them. */
  readonly length: number;
  body(content: string): string | Buffer;
  /** The pieces that a caller finds in what it has received. */
  texts(received: Buffer): readonly string[];
}

const rpc = "/codygateway.v1.CompletionsService/StreamComplete";

const protocols: readonly Protocol[] = [
  {
    name: "HTTP",
    path: "/openai/v1/chat/completions",
    headers: { "content-type": "application/json", "x-sourcegraph-feature": "chat_completions" },
    length: pieces * 180,
    body: (content) => JSON.stringify({ model, stream: true, messages: [{ role: "user", content }] }),
    texts: (received) =>
      [...received.toString("utf8").matchAll(/^data: (\{.*"content":.*\})$/gm)]
        .map(([, json = ""]) => (JSON.parse(json) as { choices: { delta: { content: string } }[] }).choices[0])
        .map((choice) => choice?.delta.content ?? "")
        .filter((text) => text !== ""),
  },
  {
    name: "Connect",
    path: rpc,
    headers: { "content-type": "application/connect+json", "connect-protocol-version": "1" },
    length: pieces * 36,
    body: (content) => framed(Buffer.from(JSON.stringify({ completion: asked(content) }))),
    texts: (received) =>
      frames(received).flatMap((json) => (JSON.parse(json.toString()) as Delta).textDelta?.text ?? []),
  },
  {
    name: "gRPC-Web",
    path: rpc,
    headers: { "content-type": "application/grpc-web+proto", "x-grpc-web": "1" },
    length: pieces * 14,
    body: (content) => framed(toBinary(StreamCompleteRequestSchema, requestOf(content))),
    texts: (received) =>
      frames(received)
        .map((bytes) => fromBinary(StreamCompleteResponseSchema, bytes).event)
        .flatMap(({ case: kind, value }) => (kind === "textDelta" ? value.text : [])),
  },
];

interface Delta {
  readonly textDelta?: { readonly text: string };
}

function asked(content: string) {
  return {
    model: `openai/${model}`,
    chat: { messages: [{ role: "ROLE_USER", parts: [{ text: content }] }] },
  };
}

function requestOf(content: string) {
  const parts = [{ kind: { case: "text" as const, value: content } }];
  const input = { case: "chat" as const, value: { messages: [{ role: Role.USER, parts }] } };
  return create(StreamCompleteRequestSchema, { completion: { model: `openai/${model}`, input } });
}

/** A message as Connect and gRPC frame it. */
function framed(message: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** The messages that are whole. */
function frames(received: Buffer): readonly Buffer[] {
  const found: Buffer[] = [];
  for (let at = 0; at + 5 <= received.length; ) {
    const end = at + 5 + received.readUInt32BE(at + 1);
    if (end > received.length || received[at] !== 0) break;
    found.push(received.subarray(at + 5, end));
    at = end;
  }
  return found;
}

interface Leaving {
  readonly id: string;
  readonly protocol: Protocol;
  readonly bytes: number;
}

const chance = createChance(20_261_126);
const all: readonly Leaving[] = protocols.flatMap((protocol, at) =>
  Array.from({ length: places }, (_, index) => ({
    id: `left-${at}-${index}`,
    protocol,
    bytes: 1 + chance.below(protocol.length),
  })),
);

const tokenOf = (id: string): string => `token-of-${id}-which-leaves`;

let gw: TestGateway;
const calls = new Map<string, DemoCall>();
beforeAll(async () => {
  const limits = [{ limit: 1_000_000, unit: "tokens", per: "24h" }, { inFlight: 1 }];
  gw = await testGateway({
    actors: all.map(({ id }) => ({
      id,
      tokens: [{ sha256: createHash("sha256").update(tokenOf(id)).digest("hex") }],
      limits: { chat_completions: limits },
      models: { chat_completions: ["*"] },
    })),
  });
  gw.upstream.script((call) => {
    calls.set(/left-\d+-\d+(?=\.)/.exec(call.body.toString())?.[0] ?? "", call);
    return undefined;
  }, Number.POSITIVE_INFINITY);
});
afterAll(() => gw[Symbol.asyncDispose]());

/** Reads as many bytes and leaves; what it has read. */
async function readAndLeave(one: Leaving): Promise<Buffer> {
  // A connection of its own: of those that others left, one may be on its way to its end.
  const connection = new Agent();
  try {
    return await readAndLeaveOver(connection, one);
  } finally {
    await connection.destroy();
  }
}

async function readAndLeaveOver(connection: Agent, { id, protocol, bytes }: Leaving): Promise<Buffer> {
  const leaving = new AbortController();
  const answer = await fetch(gw.url + protocol.path, {
    method: "POST",
    headers: { ...protocol.headers, authorization: `Bearer ${tokenOf(id)}` },
    body: protocol.body(`This is ${id}. [[chunks=${pieces} every=2]] [[stall after=${pieces}]]`),
    signal: leaving.signal,
    dispatcher: connection,
  });
  expect(answer.status, id).toBe(200);
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of answer.body ?? []) {
      chunks.push(Buffer.from(chunk as Uint8Array));
      length += chunks.at(-1)?.length ?? 0;
      if (length >= bytes) leaving.abort();
    }
  } catch (error) {
    if (!leaving.signal.aborted) throw error;
  }
  if (length < bytes) throw new Error(`${id}: the answer has only ${length} of ${bytes} bytes`);
  return Buffer.concat(chunks).subarray(0, length);
}

async function limitsOf(id: string) {
  const transport = createConnectTransport({ baseUrl: gw.url, httpVersion: "1.1" });
  const headers = { authorization: `Bearer ${tokenOf(id)}` };
  const { features } = await createClient(LimitsService, transport).getLimits({}, { headers });
  const [feature] = features;
  return { inFlight: feature?.inFlight, used: Number(feature?.rateLimit?.used) };
}

it.each(protocols.map(({ name }) => name))(
  "leaves nothing behind over %s, and is charged what was sent",
  async (name) => {
    const stoppedMs: number[] = [];
    const freeMs: number[] = [];
    const leave = async (one: Leaving): Promise<void> => {
      const received = await readAndLeave(one);
      const { id, protocol, bytes } = one;
      const at = `${id}, ${bytes} bytes`;
      const call = calls.get(id) as DemoCall;
      const told = () => gw.event(({ actor }) => actor.id === id);
      const [stopped, free] = await Promise.all([timed(() => call.aborted), timed(told)]);
      stoppedMs.push(stopped.tookMs);
      freeMs.push(free.tookMs);
      const event = await told();
      const limits = await limitsOf(id);

      expect(
        gw.events.filter(({ actor }) => actor.id === id),
        at,
      ).toHaveLength(1);
      expect(event, at).toMatchObject({ outcome: "client_gone", charged: true, usage: { estimated: true } });
      const { inputTokens = 0, outputTokens = 0 } = event.usage;
      const truth = call.usage?.inputTokens ?? 0;
      expect(inputTokens, at).toBeGreaterThan(truth / 2);
      expect(inputTokens, at).toBeLessThan(truth * 2);
      // No less than its caller has received, no more than the upstream has sent.
      const least = protocol.texts(received).length;
      const counts = call.said.slice(least).map((_, more) => call.said.slice(0, least + more).join(""));
      const sent = [...counts, call.said.join("")].flatMap((text) => [countTokens(text), estimateTokens(text)]);
      expect(sent, at).toContain(outputTokens);
      expect(limits, at).toEqual({ inFlight: 0, used: inputTokens + outputTokens });
    };
    await Promise.all(all.filter(({ protocol }) => protocol.name === name).map(leave));
    // Of those that had to wait for others the least: on a busy machine all leave at once and wait for their turn.
    expect(stoppedMs.toSorted((a, b) => a - b)[places / 4]).toBeLessThan(1_000);
    expect(freeMs.toSorted((a, b) => a - b)[places / 4]).toBeLessThan(1_000);
  },
);
