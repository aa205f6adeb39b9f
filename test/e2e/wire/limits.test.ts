// wire.md 1.7 (`/v1/limits`), 1.8 (`/v1/limits/refresh`), 4 (rate limiting).

import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type DemoBackEnds, startDemoBackEnds } from "../../../src/demo/back-ends.js";
import { userToken } from "../../../src/demo/dotcom.js";
import { demoToken, demoUuid } from "../../../src/demo/subscriptions.js";
import { type TestGateway, testGateway } from "../../helpers/gateway.js";
import { bearer, type Wire, wireTo } from "../../helpers/wire.js";

let aheadMs = 0;
const clock = { now: () => Date.now() + aheadMs };
let ends: DemoBackEnds;
let gw: TestGateway;
let wire: Wire;
beforeAll(async () => {
  ends = await startDemoBackEnds();
  const day = 86_400;
  ends.portal.set([
    { id: demoUuid("usual") },
    { id: demoUuid("no embeddings"), embeddings: undefined },
    { id: demoUuid("two"), chat: [2, day] },
    { id: demoUuid("one"), chat: [1, day] },
    { id: demoUuid("burst"), chat: [8, day] },
    { id: demoUuid("disabled"), enabled: false },
  ]);
  ends.dotcom.set({ id: 42, username: "ada" });
  gw = await testGateway({ clock, env: { ...ends.env, CODY_GATEWAY_ACTOR_CONCURRENCY_LIMIT_INTERVAL: "1h" } });
  wire = wireTo(gw);
});
afterAll(async () => {
  await gw[Symbol.asyncDispose]();
  await ends.close();
});

// Sources are asked a few times a second at most.
beforeEach(() => {
  aheadMs += 10_000;
});

const of = (name: string): string => bearer(demoToken(demoUuid(name)));
const chat = (who: string, content = "hi") =>
  wire.send("POST /v1/completions/openai", [who, "X-Sourcegraph-Feature: chat_completions"], {
    model: "gpt-4o",
    messages: [{ role: "user", content }],
  });
const limits = async (who: string) => {
  const reply = await wire.send("GET /v1/limits", [who]);
  return { ...reply, json: JSON.parse(reply.body) as Record<string, Record<string, unknown>> };
};

describe("1.7 /v1/limits", () => {
  it("1.7 has each feature with limit, Go duration, usage and the actor's own models, and no expiry before use", async () => {
    const { status, headers, json } = await limits(of("usual"));
    expect([status, headers["content-type"]]).toEqual([200, "application/json"]);
    expect(json).toEqual({
      chat_completions: { limit: 500, interval: "24h0m0s", usage: 0, allowedModels: ["*"] },
      code_completions: { limit: 10_000, interval: "24h0m0s", usage: 0, allowedModels: ["*"] },
      embeddings: { limit: 200_000_000, interval: "720h0m0s", usage: 0, allowedModels: ["*"] },
    });
  });

  it("1.7 tells the expiry in whole seconds once something is used, and uses nothing itself", async () => {
    await chat(of("usual"));
    for (let time = 0; time < 2; time++) {
      const { json } = await limits(of("usual"));
      expect(json["chat_completions"]).toMatchObject({ usage: 1 });
      expect(json["chat_completions"]?.["expiry"]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
      expect(json["code_completions"]).not.toHaveProperty("expiry");
    }
  });

  it("1.7, 15.23 leaves a feature out that is missing, and does not fail for it", async () => {
    const { status, json } = await limits(of("no embeddings"));
    expect([status, Object.keys(json)]).toEqual([200, ["chat_completions", "code_completions"]]);
  });
});

describe("1.8 /v1/limits/refresh", () => {
  it("1.8 asks the source and answers 200, empty; within the cool-down 429 with the known text", async () => {
    ends.portal.set({ id: demoUuid("changing"), chat: [5, 86_400] });
    expect((await limits(of("changing"))).json["chat_completions"]).toMatchObject({ limit: 5 });
    const again = await wire.send("POST /v1/limits/refresh", [of("changing")], "");
    expect(again.status).toBe(429);
    expect(again.body).toMatch(/^\{"error":"actor was recently updated - try again in \d+m\d+s"\}\n$/);

    aheadMs += 11 * 60_000;
    const later = await wire.send("POST /v1/limits/refresh", [of("changing")], "");
    expect([later.status, later.body]).toEqual([200, ""]);
  });

  it("1.8 does nothing for sources that are never asked", async () => {
    const reply = await wire.send("POST /v1/limits/refresh", [bearer()], "");
    expect([reply.status, reply.body]).toEqual([200, ""]);
  });

  it("1.8 is for dotcom users as well", async () => {
    const who = bearer(userToken(42));
    expect((await wire.send("GET /v1/limits", [who])).status).toBe(200);
    const reply = await wire.send("POST /v1/limits/refresh", [who], "");
    expect([reply.status, JSON.parse(reply.body)]).toEqual([
      429,
      { error: expect.stringMatching(/^actor was recently updated - try again in [45]m\d+s$/) as string },
    ]);
  });
});

describe("4 rate limits", () => {
  it("4.2 a limit of N admits N, and 1 is one request", async () => {
    const two = await Promise.all([1, 2, 3, 4].map(() => chat(of("two"))));
    expect(two.map(({ status }) => status).toSorted()).toEqual([200, 200, 429, 429]);
    const one = await Promise.all([1, 2].map(() => chat(of("one"))));
    expect(one.map(({ status }) => status).toSorted()).toEqual([200, 429]);
  });

  it("4.5 a refusal has three headers, and the text that clients show", async () => {
    await chat(of("one"));
    const { status, headers, body } = await chat(of("one"));
    expect(status).toBe(429);
    expect(headers["x-ratelimit-limit"]).toBe("1");
    expect(headers["x-ratelimit-remaining"]).toBe("0");
    expect(Number(headers["retry-after"])).toBeGreaterThan(86_000);
    expect(headers["content-type"]).toBe("text/plain; charset=utf-8");
    expect(body).toMatch(
      /^you have exceeded the rate limit of 1 requests\. Retry after \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000 UTC\n$/,
    );
  });

  it("4.3 the short window is half of the day's limit, and is told as concurrency", async () => {
    const replies = await Promise.all([1, 2, 3, 4, 5].map(() => chat(of("burst"))));
    expect(replies.filter(({ status }) => status === 200)).toHaveLength(4);
    const [refused] = replies.filter(({ status }) => status === 429);
    expect(refused?.headers["x-ratelimit-limit"]).toBe("4");
    expect(refused?.body).toMatch(
      /^you have exceeded the concurrency limit of 4 requests for "chat_completions"\. Retry after .* UTC\n$/,
    );
  });

  it("4.2 counts nothing for who is refused", async () => {
    const { json } = await limits(of("two"));
    expect(json["chat_completions"]).toMatchObject({ limit: 2, usage: 2 });
  });

  it("4.1 a feature without a limit is 403", async () => {
    ends.portal.set({ id: demoUuid("no chat"), chat: undefined });
    const reply = await chat(of("no chat"));
    expect([reply.status, JSON.parse(reply.body)]).toEqual([403, { error: "no access to feature chat_completions" }]);
  });

  it("4 refusals have events", async () => {
    const event = await gw.event(({ reason, actor }) => reason === "QUOTA_EXCEEDED" && actor.id === demoUuid("one"));
    expect(event).toMatchObject({ outcome: "refused", charged: false, feature: "chat_completions" });
  });
});
