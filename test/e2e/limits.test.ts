// Limits, judged by what the upstream saw and what the caller was told.

import type { MessageInitShape } from "@bufbuild/protobuf";
import OpenAI from "openai";
import { describe, expect, it } from "vitest";
import type { CompleteRequestSchema } from "../../gen/codygateway/v1/completions_pb.js";
import { testGateway, token } from "../helpers/gateway.js";
import { until } from "../helpers/redis.js";

const ask = (content: string) => ({ model: "gpt-4o", messages: [{ role: "user" as const, content }] });

function post(url: string, body: object, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(url, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
}

const chat = (limits: object[]): object => ({ limits: { chat_completions: limits } });

describe("a limit of requests", () => {
  it("lets exactly N of any number of parallel requests pass, over all edges together", async () => {
    await using gw = await testGateway({ actor: chat([{ limit: 20, per: "24h" }]) });
    const client = gw.client();
    const attempts = Array.from({ length: 100 }, (_, i) => {
      if (i % 2 === 0) return post(`${gw.url}/openai/v1/chat/completions`, ask("hello")).then(({ status }) => status);
      const request: MessageInitShape<typeof CompleteRequestSchema> = {
        model: "openai/gpt-4o",
        input: {
          case: "chat" as const,
          value: { messages: [{ role: 1, parts: [{ kind: { case: "text" as const, value: "hello" } }] }] },
        },
      };
      return client.completions.complete(request).then(
        () => 200,
        () => 429,
      );
    });
    const statuses = await Promise.all(attempts);
    expect(statuses.filter((status) => status === 200)).toHaveLength(20);
    expect(statuses.filter((status) => status === 429)).toHaveLength(80);
    expect(gw.upstream.calls).toHaveLength(20);
  });

  it("is told on every answer, and a refusal says when to come back", async () => {
    await using gw = await testGateway({ actor: chat([{ limit: 2, per: "24h" }]) });
    const url = `${gw.url}/openai/v1/chat/completions`;
    const first = await post(url, ask("hello"));
    expect(first.headers.get("ratelimit-policy")).toBe('"chat_completions";q=2;w=86400');
    expect(first.headers.get("ratelimit")).toMatch(/^"chat_completions";r=1;t=86[34]\d\d$/);
    expect(first.headers.get("x-ratelimit-remaining")).toBe("1");
    expect(first.headers.get("x-cody-resolved-model")).toBe("openai/gpt-4o");
    await post(url, ask("hello"));

    const refused = await post(url, ask("hello"));
    expect(refused.status).toBe(429);
    const wait = Number(refused.headers.get("retry-after"));
    expect(wait).toBeGreaterThan(86_300);
    expect(wait).toBeLessThanOrEqual(86_400);
    expect(refused.headers.get("x-should-retry")).toBe("false");
    expect(refused.headers.get("x-ratelimit-limit")).toBe("2");
    expect(await refused.json()).toMatchObject({
      error: { message: expect.stringContaining("rate limit of 2 requests") },
    });
    expect(gw.upstream.calls).toHaveLength(2);

    const openai = new OpenAI({ baseURL: `${gw.url}/openai/v1`, apiKey: token });
    await expect(openai.chat.completions.create(ask("hello"))).rejects.toBeInstanceOf(OpenAI.RateLimitError);
  });

  it("counts every request, whatever id its caller gives it, and tells of each", async () => {
    await using gw = await testGateway({ actor: chat([{ limit: 4, per: "24h" }]) });
    const sameId = { "x-request-id": "again" };
    const sdk = () => post(`${gw.url}/openai/v1/chat/completions`, ask("hello"), sameId);
    const rpc = () =>
      post(
        `${gw.url}/codygateway.v1.CompletionsService/Complete`,
        { model: "openai/gpt-4o", chat: { messages: [{ role: "ROLE_USER", parts: [{ text: "hello" }] }] } },
        { ...sameId, "connect-protocol-version": "1" },
      );
    const statuses = [];
    for (const send of [sdk, rpc, sdk, rpc, sdk, rpc]) statuses.push((await send()).status);

    expect(statuses).toEqual([200, 200, 200, 200, 429, 429]);
    expect(gw.upstream.calls).toHaveLength(4);
    await gw.event(() => gw.events.length === 6);
    expect(new Set(gw.events.map(({ id }) => id)).size).toBe(6);
    expect(gw.events.every(({ id }) => id.startsWith("again."))).toBe(true);
  });

  it("is not consumed by refusals and failures", async () => {
    await using gw = await testGateway({ actor: chat([{ limit: 3, per: "24h" }]) });
    const url = `${gw.url}/openai/v1/chat/completions`;
    for (const directive of [
      "[[status=500]]",
      "[[status=429]]",
      "[[status=401]]",
      "[[die after=0]]",
      "[[redirect=http://127.0.0.1:1/]]",
    ])
      expect((await post(url, ask(`hello ${directive}`))).status).toBeGreaterThanOrEqual(500);
    await post(url, { ...ask("hello"), model: "davinci" });
    await post(url, { model: "gpt-4o", messages: "none", stream: "perhaps" });
    const statuses = [];
    for (let i = 0; i < 4; i++) statuses.push((await post(url, ask("hello"))).status);
    expect(statuses).toEqual([200, 200, 200, 429]);
  });

  it("has the existing gateway's text on the Sourcegraph routes", async () => {
    await using gw = await testGateway({ actor: chat([{ limit: 1, per: "24h" }]) });
    const url = `${gw.url}/v1/completions/openai`;
    const feature = { "x-sourcegraph-feature": "chat_completions" };
    await post(url, ask("hello"), feature);
    const refused = await post(url, ask("hello"), feature);
    expect(refused.headers.get("content-type")).toBe("text/plain; charset=utf-8");
    expect(await refused.text()).toMatch(
      /^you have exceeded the rate limit of 1 requests\. Retry after \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000 UTC\n$/,
    );
    const limits = (await (
      await fetch(`${gw.url}/v1/limits`, { headers: { authorization: `bearer ${token}` } })
    ).json()) as {
      chat_completions: { expiry: string };
    };
    expect(limits).toEqual({
      chat_completions: {
        limit: 1,
        interval: "24h0m0s",
        usage: 1,
        expiry: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
        allowedModels: ["*"],
      },
    });
  });
});

describe("a limit in flight", () => {
  it("holds while streams last, whatever ends them", async () => {
    await using gw = await testGateway({ actor: chat([{ inFlight: 2 }]) });
    const url = `${gw.url}/openai/v1/chat/completions`;
    const endings = [
      (call: { finish(): Promise<void> }) => call.finish(),
      (call: { fail(message: string): Promise<void> }) => call.fail("broken"),
    ];
    gw.upstream.holdAll();
    for (const end of endings) {
      const open = [1, 2].map(() => post(url, { ...ask("hello"), stream: true }));
      const calls = [await gw.upstream.nextCall(), await gw.upstream.nextCall()];
      const refused = await post(url, ask("hello"));
      expect(refused.status).toBe(429);
      expect(Number(refused.headers.get("retry-after"))).toBeLessThanOrEqual(2);
      for (const call of calls) {
        await call.begin();
        await end(call);
      }
      for (const answer of open) await (await answer).text().catch(() => "");
      await gw.event(() => gw.events.filter(({ outcome }) => outcome !== "refused").length >= 2);
      gw.events.length = 0;
    }
    expect(gw.upstream.highWater()).toBe(2);
  });
});

describe("a limit of tokens", () => {
  it("charges what the upstream reports, and goes into debt rather than cut an answer", async () => {
    await using gw = await testGateway({ actor: chat([{ limit: 100_000, unit: "tokens", per: "24h" }]) });
    const url = `${gw.url}/openai/v1/chat/completions`;
    await (await post(url, ask("hello [[usage in=70000 out=5000]]"))).text();
    const limits = await gw.client().limits.getLimits({});
    expect(limits.features[0]?.rateLimit).toMatchObject({ used: 75_000n, remaining: 25_000n });
    await (await post(url, ask("hello [[usage in=70000 out=5000]]"))).text();
    expect((await post(url, ask("hello"))).status).toBe(429);
  });

  it("holds what answers of the model had of late, so that no more are let in at once than there is room for", async () => {
    await using gw = await testGateway({ actor: chat([{ limit: 100_000, unit: "tokens", per: "24h" }]) });
    const url = `${gw.url}/openai/v1/chat/completions`;
    for (let i = 0; i < 10; i++) await (await post(url, ask("hello [[usage in=1 out=4000]]"))).text();
    // 60,000 are left: 15 of 4,000 fit, or a little less with what the prompts are taken for.
    gw.upstream.holdAll();
    const answers = Array.from({ length: 40 }, () => post(url, ask("hello [[usage in=1 out=4000]]")));
    const refused = answers.map(async (answer) => (await answer).status === 429);
    const decided = () => gw.events.filter(({ outcome }) => outcome === "refused").length + gw.upstream.inFlight();
    await until(async () => decided() === 40);
    const admitted = gw.upstream.inFlight();
    expect(admitted).toBeGreaterThanOrEqual(12);
    expect(admitted).toBeLessThanOrEqual(15);
    gw.upstream.release();
    expect((await Promise.all(refused)).filter(Boolean)).toHaveLength(40 - admitted);
    await Promise.all(answers.map(async (answer) => (await answer).text()));
    const { features } = await gw.client().limits.getLimits({});
    expect(features[0]?.rateLimit?.used).toBe(BigInt(40_010 + admitted * 4_001));
  });
});

describe("a limit of money", () => {
  it("charges what the reported tokens cost", async () => {
    await using gw = await testGateway({
      actor: chat([{ limit: 1_000, unit: "microdollars", per: "24h" }]),
      file: { models: [{ id: "openai/gpt-4o", prices: { inputPerMillion: 2, outputPerMillion: 10 } }] },
    });
    const url = `${gw.url}/openai/v1/chat/completions`;
    await (await post(url, ask("hello [[usage in=100 out=30]]"))).text();
    expect((await gw.client().limits.getLimits({})).features[0]?.rateLimit).toMatchObject({
      used: 500n,
      remaining: 500n,
    });
    await (await post(url, ask("hello [[usage in=100 out=30]]"))).text();
    expect((await post(url, ask("hello"))).status).toBe(429);
  });
});

describe("a limit of some models", () => {
  it("is for them alone, beside that of all", async () => {
    await using gw = await testGateway({
      actor: chat([
        { limit: 5, per: "24h" },
        { limit: 2, per: "24h", models: ["openai/gpt-4o"] },
      ]),
    });
    const url = `${gw.url}/openai/v1/chat/completions`;
    const statuses = async (model: string, times: number): Promise<readonly number[]> => {
      const found = [];
      for (let i = 0; i < times; i++) found.push((await post(url, { ...ask("hello"), model })).status);
      return found;
    };
    expect(await statuses("gpt-4o", 4)).toEqual([200, 200, 429, 429]);
    expect(await statuses("gpt-4o-mini", 4)).toEqual([200, 200, 200, 429]);
    expect(gw.upstream.calls.map(({ model }) => model)).toEqual([
      "gpt-4o",
      "gpt-4o",
      "gpt-4o-mini",
      "gpt-4o-mini",
      "gpt-4o-mini",
    ]);
  });
});
