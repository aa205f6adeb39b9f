// Signs of life on silent streams: between events, never in them, and nobody's SDK notices.

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import Anthropic from "@anthropic-ai/sdk";
import { GoogleGenAI } from "@google/genai";
import OpenAI from "openai";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { DemoCall } from "../../src/demo/call.js";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";
import { type OpenStream, openStream } from "../helpers/open-stream.js";
import { surfaces } from "../helpers/surfaces.js";
import { startTcpProxy } from "../helpers/tcp-proxy.js";

let gw: TestGateway;
beforeAll(async () => {
  gw = await testGateway({ env: { CODY_GATEWAY_STREAM_HEARTBEAT: "20ms" } });
});
afterAll(() => gw[Symbol.asyncDispose]());
beforeEach(() => gw.reset());

const heartbeat = ": keep-alive\n\n";

function init(body: string): RequestInit {
  const headers = { authorization: `Bearer ${token}`, "x-sourcegraph-feature": "chat_completions" };
  return { method: "POST", headers, body };
}

/** A stream that is held at the upstream, and its call there. */
async function held(surface: (typeof surfaces)[number], prompt: string, to = gw): Promise<[OpenStream, DemoCall]> {
  const opening = openStream(to.url + surface.path(true), init(surface.body(prompt, true)));
  const call = await to.upstream.waitFor(({ body }) => body.includes(prompt));
  await call.send("");
  return [await opening, call];
}

function beats({ received }: OpenStream): number {
  return received.split(heartbeat).length - 1;
}

/** What the upstream answers to this, in its own words. */
async function recorded(surface: (typeof surfaces)[number], prompt: string): Promise<string> {
  const at = surface.upstreamPath(true);
  const native = surfaces.find((each) => each.edge === "sdk" && each.upstreamPath(true) === at) ?? surface;
  return (await fetch(gw.upstream.url + at, init(native.body(prompt, true)))).text();
}

const [openai] = surfaces as [(typeof surfaces)[number]];

describe("heartbeats", () => {
  it("come before and between events, and all else is as the upstream sent it", async () => {
    const sent = await Promise.all(surfaces.map((surface) => recorded(surface, "[[say Two words]]")));
    gw.upstream.holdAll();
    const pass = async (surface: (typeof surfaces)[number], answer: string): Promise<void> => {
      const [stream, call] = await held(surface, `hello ${surface.name}.`);
      const events = answer.split(/(?<=\n\n)/);
      for (const event of events) {
        const before = beats(stream);
        await stream.until(() => beats(stream) > before);
        await call.send(event);
      }
      call.end();
      expect(await stream.ended, surface.name).toBe("clean");
      expect(stream.received.replaceAll(heartbeat, "")).toBe(answer);
      expect(stream.received.split(/(?<=\n\n)/).filter((part) => part !== heartbeat)).toEqual(events);
    };
    await Promise.all(surfaces.map((surface, at) => pass(surface, sent[at] ?? "")));
  });

  it("never come inside an event, wherever it was cut", async () => {
    gw.upstream.holdAll();
    const event = 'data: {"choices":[],"id":"a"}\r\n\r\n';
    const cuts = Array.from({ length: event.length - 1 }, (_, at) => at + 1);
    const streams = await Promise.all(
      cuts.map(async (cut) => {
        const [stream, call] = await held(openai, `cut at ${cut}.`);
        await call.send(event + event.slice(0, cut));
        await stream.until((received) => received.endsWith(event + event.slice(0, cut)));
        return { stream, call, cut, before: beats(stream) };
      }),
    );
    // One that is between two events says when all have had their chance.
    const [witness] = await held(openai, "witness");
    await witness.until(() => beats(witness) >= 3);
    for (const { stream, cut, before } of streams) expect(beats(stream), `cut at ${cut}`).toBe(before);
    for (const { stream, call, cut } of streams) {
      await call.send(`${event.slice(cut)}data: [DONE]\n\n`);
      call.end();
      expect(await stream.ended).toBe("clean");
      expect(stream.received.replaceAll(heartbeat, "")).toBe(`${event}${event}data: [DONE]\n\n`);
    }
  });

  it("come over HTTP/2, too", async () => {
    gw.upstream.holdAll();
    const session = connectHttp2(gw.url);
    const stream = session.request({
      ":method": "POST",
      ":path": openai.path(true),
      authorization: `Bearer ${token}`,
    });
    stream.end(openai.body("over http/2", true));
    await (await gw.upstream.nextCall()).send("data: {}\n\n");
    const seen = new Promise<string>((resolve) => {
      let received = "";
      stream.setEncoding("utf8").on("data", (chunk: string) => {
        received += chunk;
        if (received.includes(`data: {}\n\n${heartbeat}${heartbeat}`)) resolve(received);
      });
    });
    await seen;
    session.destroy();
  });

  it("are no answer: an upstream that says nothing more runs out of its time", async () => {
    gw.upstream.holdAll();
    const [stream, call] = await held(openai, "hello");
    await call.send("data: {}\n\n");
    await stream.until(() => beats(stream) >= 3);
    const now = performance.now.bind(performance);
    const passed = vi.spyOn(performance, "now").mockImplementation(() => now() + 130_000);
    expect(await stream.ended).toBe("broken");
    await call.aborted;
    passed.mockRestore();
    expect(stream.received).toMatch(/: keep-alive\n\n\n(event: error\n)?data: \{.*"error".*\}\n\n$/);
  });

  it("can be turned off", async () => {
    await using quiet = await testGateway({
      env: { CODY_GATEWAY_STREAM_HEARTBEAT: "0s", CODY_GATEWAY_UPSTREAM_IDLE_TIMEOUT: "300ms" },
    });
    quiet.upstream.holdAll();
    const [stream] = await held(openai, "hello", quiet);
    expect(await stream.ended).toBe("broken");
    expect(beats(stream)).toBe(0);
  });
});

describe("a compressed stream", () => {
  it("is refused: nothing could be read of it, and nothing written into it", async () => {
    const answer = (_req: IncomingMessage, res: ServerResponse): void => {
      res.writeHead(200, { "content-type": "text/event-stream", "content-encoding": "gzip" });
      res.end(gzipSync("data: [DONE]\n\n"));
    };
    const server = createServer(answer).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
    await using lone = await testGateway({ env: { CODY_GATEWAY_OPENAI_BASE_URL: baseUrl } });
    const answered = await fetch(lone.url + openai.path(true), init(openai.body("hello", true)));
    expect(answered.status).toBe(502);
    expect(await lone.event()).toMatchObject({ outcome: "failed", reason: "UPSTREAM_REJECTED", charged: false });
    server.close();
    server.closeAllConnections();
  });
});

describe("official SDKs pass heartbeats over", () => {
  /** What an SDK reads of a stream with heartbeats before, between and after its events. */
  async function read<T>(ask: (url: string) => Promise<AsyncIterable<T>>): Promise<T[]> {
    gw.upstream.holdAll();
    let beaten = 0;
    let wake = (): void => {};
    await using proxy = await startTcpProxy(gw.gateway.port, (bytes) => {
      beaten += bytes.toString("latin1").split(heartbeat).length - 1;
      wake();
    });
    const nextBeat = async (): Promise<void> => {
      const before = beaten;
      while (beaten === before)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    };
    const opening = ask(`http://${proxy.endpoint}`);
    const call = await gw.upstream.nextCall();
    await call.send("");
    await nextBeat();
    const reading = (async () => {
      const items: T[] = [];
      for await (const item of await opening) items.push(item);
      return items;
    })();
    await call.begin();
    for (const word of ["one ", "two ", "three"]) {
      await nextBeat();
      await call.say(word);
    }
    await nextBeat();
    await call.finish();
    return await reading;
  }

  it("openai, chat", async () => {
    const messages = [{ role: "user" as const, content: "hello" }];
    const chunks = await read((url) =>
      new OpenAI({ baseURL: `${url}/openai/v1`, apiKey: token, maxRetries: 0 }).chat.completions.create({
        model: "gpt-4o",
        messages,
        stream: true,
      }),
    );
    expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("")).toBe("one two three");
  });

  it("openai, responses", async () => {
    const events = await read((url) =>
      new OpenAI({ baseURL: `${url}/openai/v1`, apiKey: token, maxRetries: 0 }).responses.create({
        model: "gpt-5",
        input: "hello",
        stream: true,
      }),
    );
    const said = events.flatMap((event) => (event.type === "response.output_text.delta" ? [event.delta] : []));
    expect(said.join("")).toBe("one two three");
    expect(events.at(-1)?.type).toBe("response.completed");
  });

  it("@anthropic-ai/sdk", async () => {
    const events = await read((url) =>
      new Anthropic({ baseURL: `${url}/anthropic`, apiKey: token, maxRetries: 0 }).messages.create({
        model: "claude-sonnet-4-5",
        max_tokens: 100,
        messages: [{ role: "user", content: "hello" }],
        stream: true,
      }),
    );
    const said = events.flatMap((event) =>
      event.type === "content_block_delta" && event.delta.type === "text_delta" ? [event.delta.text] : [],
    );
    expect(said.join("")).toBe("one two three");
    expect(events.at(-1)?.type).toBe("message_stop");
  });

  it("@google/genai", async () => {
    const chunks = await read((url) =>
      new GoogleGenAI({
        apiKey: token,
        httpOptions: { baseUrl: `${url}/google`, retryOptions: { attempts: 1 } },
      }).models.generateContentStream({ model: "gemini-2.5-flash", contents: "hello" }),
    );
    expect(chunks.map(({ text }) => text ?? "").join("")).toBe("one two three");
  });
});
