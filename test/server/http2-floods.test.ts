// One connection attacks, another one works: the first is closed, the second notices nothing.

import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  flag,
  frame,
  h2Connect,
  headerBlock,
  headers,
  ping,
  preface,
  requestFields,
  reset,
  settings,
  settingsAck,
  type,
  windowUpdate,
} from "../helpers/h2-frames.js";
import { type Served, serve, soonMs } from "./serve.js";

let served: Served;
let steady: ClientHttp2Session;
beforeEach(async () => {
  // `/wait` is never answered.
  served = await serve({
    http: (req, res) => (req.url === "/wait" ? undefined : void res.end("ok")),
    limits: { sweepMs: 100, headMs: 1000, lingerMs: 100 },
  });
  steady = connectHttp2(`http://127.0.0.1:${served.port}`);
});
afterEach(async () => {
  steady.destroy();
  await served.listener.close();
});

/** Milliseconds that a request on the steady connection takes. */
function askSteady(): Promise<number> {
  const askedAt = performance.now();
  return new Promise((resolve, reject) => {
    const stream = steady.request({ ":path": "/steady" });
    stream.on("response", () => resolve(performance.now() - askedAt));
    stream.on("error", reject);
    stream.resume();
  });
}

/** Sends what `make` makes until the server closes. Resolves with the milliseconds that took; gives up after 4 s. */
async function attack(make: (round: number) => Buffer, first: readonly Buffer[] = []): Promise<number> {
  const connection = await h2Connect(served.port, [preface, settings(), settingsAck, ...first]);
  const startedAt = performance.now();
  for (let round = 0; !connection.over && performance.now() - startedAt < 4000; ) {
    connection.send(...Array.from({ length: 50 }, () => make(round++)));
    if (connection.socket.writableNeedDrain) {
      await Promise.race([connection.ended, new Promise((resolve) => connection.socket.once("drain", resolve))]);
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  connection.destroy();
  return performance.now() - startedAt;
}

const wait = (stream: number, flags: number = flag.endStream | flag.endHeaders) =>
  headers(stream, requestFields({ ":path": "/wait" }), flags);
const opened = [wait(1)];

const upload = headers(1, requestFields({ ":method": "POST", ":path": "/wait" }), flag.endHeaders);

const attacks: [string, (round: number) => Buffer, Buffer[]][] = [
  ["rapid resets", (round) => Buffer.concat([wait(round * 2 + 1), reset(round * 2 + 1)]), []],
  [
    "resets that the server is made to send",
    (round) => Buffer.concat([wait(round * 2 + 1), windowUpdate(round * 2 + 1, 0)]),
    [],
  ],
  ["continuations", () => frame(type.continuation, 0, 1, headerBlock([["x-a", "a"]])), [wait(1, 0)]],
  ["empty continuations", () => frame(type.continuation, 0, 1), [wait(1, 0)]],
  ["pings", () => ping(), opened],
  ["settings", () => settings([4, 65_535]), opened],
  ["window updates", () => windowUpdate(0, 1), opened],
  ["window updates of a stream", () => windowUpdate(1, 1), opened],
  ["priorities", () => frame(type.priority, 0, 1, Buffer.from([0, 0, 0, 0, 1])), opened],
  ["priorities of idle streams", (round) => frame(type.priority, 0, round * 2 + 3, Buffer.alloc(5)), opened],
  ["empty data", () => frame(type.data, 0, 1), [upload]],
  ["streams beyond the limit", (round) => wait(round * 2 + 1), []],
  ["unknown frames", () => frame(0x42, 0, 0, Buffer.alloc(100)), opened],
  ["resets of closed streams", () => reset(1), [headers(1)]],
];

describe("a flood of", () => {
  it.each(attacks)("%s ends its connection", async (_, make, first) => {
    await askSteady();
    const asked: Promise<number>[] = [];
    const timer = setInterval(() => asked.push(askSteady()), 20);
    const took = await attack(make, first);
    clearInterval(timer);
    const times = await Promise.all(asked);

    expect(took).toBeLessThan(soonMs);
    expect(Math.max(0, ...times)).toBeLessThan(soonMs);
    await expect.poll(() => served.listener.requests).toBe(0);
  });
});

it("closes the connection of a session that has failed, though its stream lives", async () => {
  await using quick = await serve({ http: () => {}, limits: { pingEveryMs: 100, pingAckMs: 100 } });
  const connection = await h2Connect(quick.port, [preface, settings(), settingsAck, ...opened]);
  await expect.poll(() => quick.listener.requests).toBe(1);
  // More pairs than allowed: the session sends GOAWAY and then neither reads nor writes.
  connection.send(settings(...Array.from({ length: 100 }, () => [4, 65_535] as const)));
  await connection.ended;
  // Newer Node ends it itself.
  expect(["session_dead", "session_error"]).toContain(quick.cut[0]);
  await expect.poll(() => quick.listener.requests).toBe(0);
});

describe("resets", () => {
  it("end the connection at the limit", async () => {
    await attack((round) => Buffer.concat([wait(round * 2 + 1), reset(round * 2 + 1)]));
    // Newer Node has a limit of its own.
    expect(["session_resets", "session_error"]).toContain(served.cut[0]);
    expect(served.seen.length).toBeLessThanOrEqual(201);
  });

  it("are forgiven where more streams end well", async () => {
    await using lenient = await serve({
      http: (req, res) => (req.url === "/wait" ? undefined : void res.end("ok")),
      limits: { maxResets: 50 },
    });
    const client = connectHttp2(`http://127.0.0.1:${lenient.port}`);
    client.on("error", () => {});
    const run = (path: string, cancel: boolean) => {
      const stream = client.request({ ":path": path }).resume();
      stream.on("error", () => {});
      if (cancel) stream.close(8);
      return new Promise((resolve) => stream.once("close", resolve));
    };
    for (let round = 0; round < 5; round++) {
      const finished = Array.from({ length: 40 }, () => run("/ok", false));
      const cancelled = Array.from({ length: 20 }, () => run("/wait", true));
      await Promise.all([...finished, ...cancelled]);
    }
    expect(client.destroyed).toBe(false);
    expect(lenient.cut).toEqual([]);
    client.destroy();
  });
});
