// Upstreams that are away for a while, hang or send elsewhere: what callers are told, how often the upstream is asked, what is
// charged.

import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { createServer, type Server } from "node:http";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { DemoUpstream } from "../../src/demo/upstream.js";
import { freePort } from "../helpers/free-port.js";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";
import { metricOf } from "../helpers/metric.js";
import { openStream } from "../helpers/open-stream.js";
import { type RawUpstream, rawUpstream } from "../helpers/raw-upstream.js";
import { until } from "../helpers/redis.js";
import { testUpstream } from "../helpers/upstream.js";

let upstream: DemoUpstream;
let elsewhere: RawUpstream;
let raws: Record<string, RawUpstream>;
let gw: TestGateway;
let latePort: number;

const event = 'data: {"id":"1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n';
const stream = `HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n${event.length.toString(16)}\r\n${event}\r\n`;
const whole = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{"id":';

beforeAll(async () => {
  upstream = await testUpstream();
  elsewhere = await rawUpstream();
  latePort = await freePort();
  raws = {
    silent: await rawUpstream(),
    broken: await rawUpstream({ onConnection: (socket) => socket.resetAndDestroy() }),
    streaming: await rawUpstream({ onData: (socket) => socket.write(stream) }),
    half: await rawUpstream({ onData: (socket) => socket.write(whole) }),
  };
  const local = (name: string, baseUrl: string, timeouts: object = {}): object => {
    return { name, kind: "openai-compatible", baseUrl: `${baseUrl}/v1`, models: ["*"], timeouts };
  };
  const at = (name: string): string => `http://127.0.0.1:${raws[name]?.port}`;
  gw = await testGateway({
    actor: { limits: { chat_completions: [{ limit: 100_000, per: "24h" }, { inFlight: 500 }] } },
    env: { KEY: "key" },
    file: {
      providers: [
        { ...local("away", upstream.url), keys: [{ ref: "env:KEY" }] },
        local("late", `http://127.0.0.1:${latePort}`),
        // Nothing is sent before TLS is there.
        local("no-tls", at("broken").replace("http:", "https:")),
        local("no-connection", at("silent").replace("http:", "https:"), { connect: "300ms" }),
        local("no-answer", at("silent"), { firstByte: "300ms" }),
        local("stalled-stream", at("streaming"), { idle: "300ms" }),
        local("long-stream", at("streaming"), { total: "300ms" }),
        local("stalled-whole", at("half"), { idle: "300ms" }),
        local("long-whole", at("half"), { total: "300ms" }),
      ],
    },
  });
});
afterAll(async () => {
  await gw[Symbol.asyncDispose]();
  for (const each of [upstream, elsewhere, ...Object.values(raws)]) await each[Symbol.asyncDispose]();
});
beforeEach(() => {
  gw.reset();
  upstream.reset();
});

function request(model: string, streamed = false): [url: string, init: RequestInit] {
  const [name = "", ...rest] = model.split("/");
  const body = { model: rest.join("/"), stream: streamed, messages: [{ role: "user", content: "hello" }] };
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  return [`${gw.url}/${name}/v1/chat/completions`, { method: "POST", headers, body: JSON.stringify(body) }];
}

const ask = (model: string, streamed = false): Promise<Response> => fetch(...request(model, streamed));

async function used(): Promise<(bigint | number | undefined)[]> {
  const [feature] = (await gw.client().limits.getLimits({})).features;
  return [feature?.rateLimit?.used, feature?.inFlight];
}

const metric = (series: string): Promise<number> => metricOf(gw, series);

describe("an upstream that fails for one of its models", () => {
  it("is asked no more often than callers ask, then not at all, and again when it has recovered", async () => {
    upstream.script(({ model }) => (model === "demo-bad" ? { status: 503 } : undefined), 100_000);
    const before = await used();
    let asked = 0;
    let refusal: Response | undefined;
    const caller = async (): Promise<void> => {
      while (!refusal) {
        asked++;
        const answer = await ask("away/demo-bad");
        const text = await answer.text();
        expect(answer.status).toBe(503);
        expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
        if (!text.includes("currently unavailable")) continue;
        expect(text).toContain("model away/demo-bad is currently unavailable");
        refusal ??= answer;
      }
    };
    await Promise.all([caller(), caller(), caller()]);
    expect(upstream.calls.length).toBeGreaterThanOrEqual(10);
    expect(upstream.calls.length).toBeLessThan(asked);

    // It is not asked any more, others are, and what is listed does not depend on it.
    const calls = upstream.calls.length;
    const quick = await ask("away/demo-bad");
    expect([quick.status, upstream.calls.length]).toEqual([503, calls]);
    expect(quick.headers.get("x-cody-resolved-model")).toBe("away/demo-bad");
    const listed = await fetch(`${gw.url}/away/v1/models`, { headers: { authorization: `Bearer ${token}` } });
    expect([listed.status, await listed.text()]).toEqual([200, expect.stringContaining('"id"')]);
    expect((await ask("away/demo-good")).status).toBe(200);
    expect(await metric('cody_gateway_upstream_models_unavailable{upstream="away"}')).toBe(1);
    expect(await metric('cody_gateway_upstream_tries_total{upstream="away",outcome="not_made"}')).toBeGreaterThan(0);
    expect(
      await gw.event(({ attempts, upstreamStatus }) => attempts === undefined && upstreamStatus === undefined),
    ).toMatchObject({
      outcome: "failed",
      reason: "UPSTREAM_UNAVAILABLE",
      charged: false,
      model: "away/demo-bad",
    });

    upstream.reset();
    await until(async () => {
      const { status } = await ask("away/demo-bad");
      if (status !== 200) expect(upstream.calls.length).toBeLessThanOrEqual(1);
      return status === 200;
    });
    expect((await ask("away/demo-bad")).status).toBe(200);
    expect(await metric('cody_gateway_upstream_models_unavailable{upstream="away"}')).toBe(0);
    expect(await used()).toEqual([(before[0] as bigint) + 3n, 0]);
  });
});

describe("a connection that cannot be made", () => {
  it("is tried once more: the caller sees nothing of it", async () => {
    const late: Server = createServer((_req, res) => {
      res.setHeader("content-type", "application/json");
      res.end(
        JSON.stringify({
          id: "1",
          object: "chat.completion",
          choices: [],
          usage: { prompt_tokens: 1, completion_tokens: 2 },
        }),
      );
    });
    // Told while the first try fails: the listener is there before the second.
    const onError = (): void => void (late.listening || late.listen(latePort));
    subscribe("undici:client:connectError", onError);
    try {
      const answer = await ask("late/demo");
      expect([answer.status, late.listening]).toEqual([200, true]);
      expect(await gw.event()).toMatchObject({ attempts: 2, charged: true, outcome: "completed" });
      expect(gw.events).toHaveLength(1);
    } finally {
      unsubscribe("undici:client:connectError", onError);
      late.closeAllConnections();
      late.close();
    }
  });

  it("is tried again within the budget, and then no more than callers ask", async () => {
    const asks = 60;
    const before = raws["broken"]?.connections ?? 0;
    for (let asked = 0; asked < asks; asked++) {
      // Each has a name of its own, so that no model becomes unavailable before the budget counts.
      const answer = await ask(`no-tls/demo-${asked}`);
      expect(answer.status).toBe(502);
      expect(await answer.text()).not.toMatch(/127\.0\.0\.1|ECONN|TLS|socket/);
    }
    const made = (raws["broken"]?.connections ?? 0) - before;
    expect(made).toBeGreaterThan(asks);
    expect(made).toBeLessThanOrEqual(asks * 1.1 + 6);
    expect(gw.events.every(({ charged }) => !charged)).toBe(true);
  });
});

describe("time that runs out", () => {
  it.each([
    ["no-connection/demo", false],
    ["no-answer/demo", true],
    ["stalled-whole/demo", false],
    ["long-whole/demo", false],
  ])("before the caller has anything, %s: 504, free", async (model, streamed) => {
    const before = await used();
    const answer = await ask(model, streamed);
    expect([answer.status, (await answer.text()).includes("timed out")]).toEqual([504, true]);
    expect(await gw.event()).toMatchObject({ outcome: "failed", reason: "DEADLINE_EXCEEDED", charged: false });
    expect(await used()).toEqual([before[0], 0]);
  });

  it.each([
    ["stalled-stream/demo", "UPSTREAM_INTERRUPTED"],
    ["long-stream/demo", "DEADLINE_EXCEEDED"],
  ])("inside a stream, %s: an error frame and a broken connection, charged", async (model, reason) => {
    const before = await used();
    const answer = await openStream(...request(model, true));
    expect(await answer.ended).toBe("broken");
    expect(answer.received).toMatch(/"content":"Hi"[\s\S]*\n(event: error\n)?data: \{"error":\{[^\n]*\}\n\n$/);
    expect(await gw.event()).toMatchObject({ outcome: "failed", reason, charged: true });
    expect(await used()).toEqual([(before[0] as bigint) + 1n, 0]);
  });
});

describe("a redirect", () => {
  it.each([301, 302, 303, 307, 308])("%i is not followed: nothing is sent elsewhere", async (redirectStatus) => {
    upstream.script({ redirect: `http://127.0.0.1:${elsewhere.port}/`, redirectStatus });
    const answer = await ask("away/demo-moved");
    expect([answer.status, answer.headers.get("location")]).toEqual([502, null]);
    expect([elsewhere.connections, elsewhere.received, upstream.calls.length]).toEqual([0, 0, 1]);
    expect(await gw.event()).toMatchObject({
      reason: "UPSTREAM_REJECTED",
      upstreamStatus: redirectStatus,
      charged: false,
    });
  });
});
