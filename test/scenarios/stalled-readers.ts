// Callers that ask for long streams and then read nothing of them, over every protocol: what they cost while they are there, and
// that they go.

import { readFile } from "node:fs/promises";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import { expect } from "vitest";
import { Role, StreamCompleteRequestSchema } from "../../gen/codygateway/v1/completions_pb.js";
import type { DemoCall } from "../../src/demo/call.js";
import { type GatewayProcess, startFleet, tokenOf, usageOf } from "../helpers/processes.js";
import { until } from "../helpers/redis.js";

/** Twenty megabytes: more than the buffers of two kernels take, as a rule. */
const longAnswer = 320;
/** Each event of it, made once: made anew each time, they would cost more than all else here. */
const longEvent = eventOf({ content: "x".repeat(65_536) }, null);
const stallMs = 5_000;
/** What one of them may cost. */
const maxBytesEach = 0.7 * 1024 * 1024;
/**
 * What was for those megabytes that did pass, and is not collected yet: with twenty readers as with a hundred, and most on a
 * machine that is busy. Were answers kept for a hundred, they would be two gigabytes.
 */
const garbageBytes = 200 * 1024 * 1024;

/** What the stalled readers cost, as measured. */
export interface StalledReaders {
  /** At the same time. */
  readonly readers: number;
  readonly megabytesEach: number;
  readonly allGoneMs: number;
}

/** So many stalled readers, of all kinds. */
export async function stalledReaders(count: number): Promise<StalledReaders> {
  await using fleet = await startFleet({
    actors: { slow: [{ limit: 1_000_000, per: "24h" }, { inFlight: count + 1 }] },
    env: { CODY_GATEWAY_WRITE_STALL_TIMEOUT: `${stallMs}ms` },
  });
  const { upstream } = fleet;
  upstream.script((call) => {
    if (!call.body.includes(long)) return undefined;
    void answerAtLength(call);
    return { hold: true };
  }, Number.POSITIVE_INFINITY);
  const [gateway] = fleet.gateways as [GatewayProcess];
  // What is made at first use is made now.
  await gateway.chat("slow", { stream: true, prompt: short });
  for (const protocol of ["connect", "grpc"] as const)
    for await (const _ of gateway.client("slow", { protocol }).completions.streamComplete(typed(short)));
  const warm = 3;
  await until(async () => (await fleet.events()).length === warm);
  const before = await bytesOf(gateway);

  const leave = Array.from({ length: count }, (_, index) => stall(gateway, mixed[index % mixed.length] as Kind));
  const startedAt = performance.now();
  let peak = 0;
  await until(
    async () => {
      peak = Math.max(peak, await bytesOf(gateway));
      return (await fleet.events()).length >= warm + count;
    },
    50_000 + count * 100,
  );
  const allGoneMs = performance.now() - startedAt;

  await until(async () => upstream.inFlight() === 0);
  const events = (await fleet.events()).slice(warm);
  expect(events).toHaveLength(count);
  expect(new Set(events.map(({ id }) => id)).size).toBe(count);
  expect(new Set(events.map(({ outcome, charged }) => `${outcome} ${charged}`))).toEqual(new Set(["client_gone true"]));
  const aborted = upstream.calls.filter(({ state }) => state === "aborted").length;
  // Kernels may have given a connection of HTTP/1.1 so much room that the upstream was rid of its answer.
  const overHttp1 = Array.from({ length: count }, (_, index) => mixed[index % mixed.length]?.http).filter(
    (http) => http === 1,
  );
  expect(aborted).toBeGreaterThanOrEqual(count - overHttp1.length);
  expect(await usageOf(gateway, "slow")).toEqual({ used: warm + count, inFlight: 0 });
  expect(await gateway.metric("cody_gateway_server_cuts_total", 'reason="write_stall"')).toBe(count);
  for (const go of leave) go();
  // On a busy machine not all are there at the same time.
  const there = upstream.highWater();
  expect(peak - before).toBeLessThan(there * maxBytesEach + garbageBytes);
  return { readers: there, megabytesEach: (peak - before) / there / 1024 / 1024, allGoneMs };
}

/** As fast as it is taken. */
async function answerAtLength(call: DemoCall): Promise<void> {
  let over = false;
  void call.over.then(() => (over = true));
  for (let sent = 0; sent < longAnswer && !over; sent++) await call.send(longEvent);
  await call.send(eventOf({}, "stop"));
  await call.send("data: [DONE]\n\n");
  call.end();
}

function eventOf(delta: object, reason: string | null): Buffer {
  const choices = [{ index: 0, delta, finish_reason: reason }];
  const chunk = { id: "chatcmpl-1", object: "chat.completion.chunk", created: 1_700_000_000, model: "gpt-4o", choices };
  return Buffer.from(`data: ${JSON.stringify(chunk)}\n\n`);
}

/** Resident memory. */
async function bytesOf({ pid }: GatewayProcess): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * 1024;
}

const short = "[[chunks=10 bytes=1000]]";
const long = "what fills all buffers";
const typed = (prompt: string) => ({
  completion: {
    model: "openai/gpt-4o",
    input: {
      case: "chat" as const,
      value: { messages: [{ role: Role.USER, parts: [{ kind: { case: "text" as const, value: prompt } }] }] },
    },
  },
});

interface Kind {
  readonly http: 1 | 2;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

const nativePath = "/openai/v1/chat/completions";
const nativeBody = Buffer.from(
  JSON.stringify({ model: "gpt-4o", stream: true, messages: [{ role: "user", content: long }] }),
);
const message = toBinary(StreamCompleteRequestSchema, create(StreamCompleteRequestSchema, typed(long)));
const envelope = Buffer.alloc(5);
envelope.writeUInt32BE(message.length, 1);
const typedPath = "/codygateway.v1.CompletionsService/StreamComplete";
const typedBody = Buffer.concat([envelope, message]);
const connectHeaders = { "content-type": "application/connect+proto", "connect-protocol-version": "1" };

/** Every way a stream can be read, or not. Over HTTP/1.1 the kernels buffer most of it: few of those are enough. */
const kinds: readonly Kind[] = [
  { http: 1, path: nativePath, headers: {}, body: nativeBody },
  { http: 2, path: nativePath, headers: {}, body: nativeBody },
  { http: 1, path: typedPath, headers: connectHeaders, body: typedBody },
  { http: 2, path: typedPath, headers: connectHeaders, body: typedBody },
  { http: 2, path: typedPath, headers: { "content-type": "application/grpc", te: "trailers" }, body: typedBody },
];

const mixed = kinds.flatMap((kind) => Array.from({ length: kind.http === 1 ? 1 : 12 }, () => kind));

/** Asks, and reads nothing. Returns what makes it leave. */
function stall({ port, url }: GatewayProcess, { http, path, headers, body }: Kind): () => void {
  const all = { authorization: `Bearer ${tokenOf("slow")}`, "x-sourcegraph-actor-uid": "1", ...headers };
  if (http === 2) {
    const session = connectHttp2(url);
    session.on("error", () => {});
    const call = session.request({ ":method": "POST", ":path": path, ...all });
    call.on("error", () => {});
    call.end(body);
    return () => session.destroy();
  }
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  socket.pause();
  const fields = Object.entries({ host: "gateway.test", "content-length": String(body.length), ...all });
  const head = `POST ${path} HTTP/1.1\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
  socket.write(Buffer.concat([Buffer.from(head), body]));
  return () => socket.destroy();
}
