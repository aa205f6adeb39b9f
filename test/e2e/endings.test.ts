// Every way a request can end, on every edge: what the caller got, what was charged, and the one event.

import { connect } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { UsageEvent } from "../../src/usage/event.js";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";
import { surfaces } from "../helpers/surfaces.js";

let gw: TestGateway;
beforeAll(async () => {
  gw = await testGateway({
    actor: { limits: { chat_completions: [{ limit: 100_000, per: "24h" }, { inFlight: 50 }] } },
  });
});
afterAll(() => gw[Symbol.asyncDispose]());
beforeEach(() => gw.reset());

function post(path: string, body: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(gw.url + path, {
    method: "POST",
    headers: {
      authorization: `Bearer ${token}`,
      "x-sourcegraph-feature": "chat_completions",
      "content-type": "application/json",
      ...headers,
    },
    body,
  });
}

async function used(): Promise<{ requests: bigint | undefined; inFlight: number | undefined }> {
  const { features } = await gw.client().limits.getLimits({});
  return { requests: features[0]?.rateLimit?.used, inFlight: features[0]?.inFlight };
}

/** Directive → status of the answer, outcome and reason of the event, for answers that are no stream. */
const whole: [string, number, Partial<UsageEvent>][] = [
  ["", 200, { outcome: "completed", charged: true }],
  ["[[status=400]]", 400, { outcome: "failed", reason: "UPSTREAM_REFUSED_REQUEST", upstreamStatus: 400 }],
  ["[[status=401]]", 502, { outcome: "failed", reason: "UPSTREAM_REFUSED_KEY", upstreamStatus: 401 }],
  ["[[status=403]]", 502, { outcome: "failed", reason: "UPSTREAM_REFUSED_KEY", upstreamStatus: 403 }],
  ["[[status=404]]", 404, { outcome: "failed", reason: "UPSTREAM_REFUSED_REQUEST", upstreamStatus: 404 }],
  ["[[status=429]]", 503, { outcome: "failed", reason: "UPSTREAM_RATE_LIMITED", upstreamStatus: 429 }],
  ["[[status=500]]", 500, { outcome: "failed", reason: "UPSTREAM_UNAVAILABLE", upstreamStatus: 500 }],
  ["[[status=529]]", 503, { outcome: "failed", reason: "UPSTREAM_RATE_LIMITED", upstreamStatus: 529 }],
  ["[[redirect=http://127.0.0.1:9/]]", 502, { outcome: "failed", reason: "UPSTREAM_REJECTED", upstreamStatus: 307 }],
  ["[[die after=0]]", 502, { outcome: "failed", reason: "UPSTREAM_UNAVAILABLE" }],
  ["[[die after=1]]", 502, { outcome: "failed", reason: "UPSTREAM_INTERRUPTED" }],
];

describe.each(surfaces)("$name", ({ path, body, edge, provider }) => {
  it.each(whole)("whole, %s: %i", async (directive, status, expected) => {
    const before = await used();
    const answer = await post(path(false), body(`hello ${directive}`, false));
    await answer.text();
    expect(answer.status).toBe(status);
    if (status === 503) expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await gw.event()).toMatchObject({ charged: false, edge, provider, stream: false, ...expected });
    expect(gw.events).toHaveLength(1);
    const charge = expected.charged ? 1n : 0n;
    expect(await used()).toEqual({ requests: (before.requests ?? 0n) + charge, inFlight: 0 });
  });

  it.each([
    ["", "completed", undefined, true],
    ["[[error after=2]]", "failed", "UPSTREAM_INTERRUPTED", true],
    ["[[die after=2]]", "failed", "UPSTREAM_INTERRUPTED", false],
    ["[[die after=2 half]]", "failed", "UPSTREAM_INTERRUPTED", false],
    ["[[truncate after=2]]", "failed", "UPSTREAM_INTERRUPTED", false],
    ["[[truncate after=0]]", "failed", "UPSTREAM_INTERRUPTED", false],
  ])("streamed, %s: %s", async (directive, outcome, reason, clean) => {
    const before = await used();
    const answer = await post(path(true), body(`hello ${directive}`, true));
    const text = await answer.text().catch(() => undefined);
    // The provider's own error event is an end that SDKs raise on; a broken connection has no clean end at all.
    expect(text !== undefined).toBe(clean);
    expect(await gw.event()).toMatchObject({ outcome, charged: true, edge, stream: true, ...(reason && { reason }) });
    expect(gw.events).toHaveLength(1);
    expect(await used()).toEqual({ requests: (before.requests ?? 0n) + 1n, inFlight: 0 });
  });

  it("deadline before the answer: 504, refunded, upstream aborted", async () => {
    const before = await used();
    const answer = await post(path(true), body("hello [[stall after=0]] [[delay=60000]]", true), {
      "x-timeout-ms": "200",
    });
    expect(answer.status).toBe(504);
    await (await gw.upstream.nextCall()).aborted;
    expect(await gw.event()).toMatchObject({ outcome: "failed", reason: "DEADLINE_EXCEEDED", charged: false });
    expect(await used()).toEqual({ requests: before.requests, inFlight: 0 });
  });

  it("deadline inside the answer: an error frame and a broken connection", async () => {
    const answer = await post(path(true), body("hello [[stall after=2]]", true), { "x-timeout-ms": "1000" });
    const seen: string[] = [];
    const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
    const read = async (): Promise<void> => {
      for (let next = await reader?.read(); next && !next.done; next = await reader?.read()) seen.push(next.value);
    };
    await expect(read()).rejects.toThrow();
    expect(seen.join("")).toMatch(/\n(event: error\n)?data: \{.*timed out.*\}\n\n$/);
    expect(await gw.event()).toMatchObject({ outcome: "failed", reason: "DEADLINE_EXCEEDED", charged: true });
  });

  it("caller gone before the first byte: refunded, upstream aborted", async () => {
    const before = await used();
    gw.upstream.holdAll();
    const abort = new AbortController();
    const gone = fetch(gw.url + path(true), {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "x-sourcegraph-feature": "chat_completions" },
      body: body("hello", true),
      signal: abort.signal,
    }).catch(() => "gone");
    const call = await gw.upstream.nextCall();
    abort.abort();
    await call.aborted;
    expect(await gone).toBe("gone");
    expect(await gw.event()).toMatchObject({ outcome: "client_gone", charged: false });
    expect(await used()).toEqual({ requests: before.requests, inFlight: 0 });
  });

  it.each(["destroy", "reset", "half-close"] as const)(
    "caller gone inside the answer by %s: charged, slot free",
    async (how) => {
      const before = await used();
      const { port } = gw.gateway;
      const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
      socket.on("error", () => {});
      const question = body("hello [[stall after=2]]", true);
      const head = [
        `POST ${path(true)} HTTP/1.1`,
        "Host: gateway",
        `Authorization: Bearer ${token}`,
        "X-Sourcegraph-Feature: chat_completions",
        `Content-Length: ${Buffer.byteLength(question)}`,
      ];
      socket.write(`${head.join("\r\n")}\r\n\r\n${question}`);
      await new Promise((resolve) => socket.once("data", resolve));
      const call = await gw.upstream.nextCall();
      if (how === "destroy") socket.destroy();
      else if (how === "reset") socket.resetAndDestroy();
      else socket.end();
      await call.aborted;
      socket.destroy();
      expect(await gw.event()).toMatchObject({ outcome: "client_gone", charged: true });
      expect(await used()).toEqual({ requests: (before.requests ?? 0n) + 1n, inFlight: 0 });
    },
  );
});

describe("an upstream that is not there", () => {
  it("is 502 and refunded, and the answer says nothing of hosts", async () => {
    await using lone = await testGateway({ env: { CODY_GATEWAY_OPENAI_BASE_URL: "http://127.0.0.1:9/v1" } });
    const answer = await fetch(`${lone.url}/openai/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
      body: JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content: "hello" }] }),
    });
    expect(answer.status).toBe(502);
    expect(await answer.text()).not.toMatch(/127\.0\.0\.1|ECONNREFUSED|:9/);
    expect(await lone.event()).toMatchObject({ outcome: "failed", reason: "UPSTREAM_UNAVAILABLE", charged: false });
  });
});
