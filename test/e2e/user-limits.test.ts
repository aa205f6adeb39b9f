// Limits of each user of an actor, at the edges: one user cannot use up what all of a subscription have.

import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { RuleCheck_Kind as Kind, Origin } from "../../gen/codygateway/v1/actor_admin_pb.js";
import { ErrorReason, Feature } from "../../gen/codygateway/v1/common_pb.js";
import { ErrorInfoSchema, QuotaFailureSchema } from "../../gen/google/rpc/error_details_pb.js";
import { type DemoBackEnds, startDemoBackEnds } from "../../src/demo/back-ends.js";
import { demoToken, demoUuid } from "../../src/demo/subscriptions.js";
import type { UsageEvent } from "../../src/usage/event.js";
import { adminOf, adminTokens } from "../helpers/admin.js";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";
import { recordingLog } from "../helpers/log.js";

const secret = "secret-of-the-diagnostics";
const day = 86_400;
const portal = "dotcom-product-subscriptions";
const chatFeature = Feature.CHAT_COMPLETIONS;
const log = recordingLog();
let subscriptions = 0;
let ends: DemoBackEnds;
let gw: TestGateway;
beforeAll(async () => {
  ends = await startDemoBackEnds();
  gw = await testGateway({
    log,
    actor: {
      limits: { chat_completions: [{ inFlight: 4 }], code_completions: [] },
      perUserLimits: { chat_completions: [{ percentage: "50%" }] },
    },
    env: {
      ...ends.env,
      CODY_GATEWAY_DIAGNOSTICS_SECRET: secret,
      CODY_GATEWAY_ADMIN_TOKENS: adminTokens,
      CODY_GATEWAY_ACTOR_CONCURRENCY_LIMIT_PERCENTAGE: "100",
      CODY_GATEWAY_ACTOR_USER_LIMIT_PERCENTAGE: "20",
    },
  });
});
afterAll(async () => {
  await gw[Symbol.asyncDispose]();
  await ends.close();
});
beforeEach(() => gw.reset());

/** A new subscription with 10 chats a day. */
async function subscription() {
  const id = demoUuid(`of users ${subscriptions++}`);
  ends.portal.set([{ id, chat: [10, day], code: [1_000, day] }]);
  const synced = await fetch(`${gw.url}/-/actor/sync-all-sources`, { headers: { authorization: `Bearer ${secret}` } });
  expect(await synced.text()).not.toContain("failed");
  const bearer = demoToken(id);
  const chat = (user: string | undefined, more: Record<string, string> = {}) =>
    fetch(`${gw.url}/v1/completions/openai`, {
      method: "POST",
      headers: { ...asUser(bearer, user), "x-sourcegraph-feature": "chat_completions", ...more },
      body: JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content: "hi" }] }),
    });
  return { id, ref: { source: portal, id }, bearer, chat, admin: adminOf(gw) };
}

function asUser(bearer: string, user: string | undefined): Record<string, string> {
  return { authorization: `Bearer ${bearer}`, ...(user !== undefined && { "x-sourcegraph-actor-uid": user }) };
}

async function statuses(answers: readonly Promise<Response>[]): Promise<number[]> {
  return Promise.all(answers.map(async (answer) => (await answer).status));
}

describe("one user of a subscription", () => {
  it("has its share and no more, is told so, and leaves the others theirs", async () => {
    const { chat, id } = await subscription();
    expect(await statuses([1, 2, 3, 4, 5, 6].map(() => chat("greedy")))).toEqual(
      expect.arrayContaining([200, 200, 429, 429, 429, 429]),
    );
    const refused = await chat("greedy");
    expect(refused.status).toBe(429);
    expect(await refused.text()).toMatch(
      /^you have exceeded the rate limit of 2 requests for each user\. Retry after \d{4}-/,
    );
    expect(refused.headers.get("ratelimit")).toMatch(/^"chat_completions_user";r=0;t=\d+$/);
    expect(refused.headers.get("x-ratelimit-limit")).toBe("2");

    const passed = await chat("modest");
    expect(passed.status).toBe(200);
    expect(passed.headers.get("ratelimit-policy")).toContain('"chat_completions_user";q=2;w=86400');
    expect(passed.headers.get("ratelimit")).toMatch(/"chat_completions";r=7;.*"chat_completions_user";r=1;/);
    expect(passed.headers.get("x-ratelimit-remaining")).toBe("1");
    expect(gw.upstream.calls.map(({ endUser }) => endUser).toSorted()).toEqual(
      ["greedy", "greedy", "modest"].map((user) => `${id}:${user}`),
    );
    const event = await gw.event(({ outcome }) => outcome === "refused");
    expect(event).toMatchObject({ reason: "QUOTA_EXCEEDED", endUser: { id: "greedy" }, charged: false });
    expect(event.limit).toEqual({ of: "user", unit: "requests", limit: 2, used: 2, windowMs: day * 1_000 });
  });

  it("is nobody, together with all others of whom nothing is said", async () => {
    const { chat } = await subscription();
    expect(await statuses([chat(undefined), chat("none")])).toEqual([200, 200]);
    expect((await chat(undefined)).status).toBe(429);
    expect((await chat("not an id")).status).toBe(429);
    expect((await chat(undefined, { "x-sourcegraph-actor-anonymous-uid": "visitor" })).status).toBe(200);
    expect((await chat("none", { "x-sourcegraph-actor-anonymous-uid": "visitor" })).status).toBe(200);
    expect((await chat(undefined, { "x-sourcegraph-actor-anonymous-uid": "visitor" })).status).toBe(429);
  });

  it("does not make more of the subscription by other names", async () => {
    const { chat } = await subscription();
    const got = await statuses(Array.from({ length: 30 }, (_, at) => chat(`made-up-${at}`)));
    expect(got.filter((status) => status === 200)).toHaveLength(10);
    const refused = await chat("made-up-too");
    expect(await refused.text()).toMatch(/^you have exceeded the rate limit of 10 requests\. /);
    expect(refused.headers.get("ratelimit")).toMatch(/^"chat_completions";r=0;/);
    const event = await gw.event(({ endUser }) => endUser?.id === "made-up-too");
    expect(event.limit).toEqual({ of: "actor", unit: "requests", limit: 10, used: 10, windowMs: day * 1_000 });
  });

  it("is told apart from the subscription in the log, also when both are refused at once", async () => {
    const { chat, id } = await subscription();
    await statuses(Array.from({ length: 7 }, (_, at) => chat(`${at}`)));
    for (const user of ["greedy", "greedy", "greedy", "modest", "another"]) await chat(user);
    const limits = log.lines
      .filter(({ message }) => message === "request refused")
      .map(({ fields }) => fields as UsageEvent)
      .filter(({ actor }) => actor.id === id)
      .map(({ limit }) => [limit?.of, limit?.limit]);
    expect(limits).toEqual([
      ["user", 2],
      ["actor", 10],
    ]);
  });

  it("is told of its own by /v1/limits, beside what clients know", async () => {
    const { chat, bearer } = await subscription();
    await chat("1");
    await chat("2");
    const limits = async (user?: string) =>
      (await (await fetch(`${gw.url}/v1/limits`, { headers: asUser(bearer, user) })).json()) as object;
    expect(await limits("1")).toMatchObject({
      chat_completions: {
        limit: 10,
        interval: "24h0m0s",
        usage: 2,
        perUser: { limit: 2, interval: "24h0m0s", usage: 1 },
      },
      code_completions: { limit: 1_000, perUser: { limit: 200, usage: 0 } },
    });
    expect(await limits()).toMatchObject({ chat_completions: { usage: 2, perUser: { limit: 2, usage: 0 } } });
  });

  it("is refused alike over RPC, and told by LimitsService", async () => {
    const { bearer } = await subscription();
    const client = gw.client({ token: bearer });
    const input = { case: "prompt", value: { text: "hi" } } as const;
    const ask = (user: string) =>
      client.completions.complete({ model: "openai/gpt-4o", input }, { headers: { "x-sourcegraph-actor-uid": user } });
    expect((await ask("1")).rateLimit).toMatchObject({ name: "chat_completions_user", perUser: true, remaining: 1n });
    await ask("1");
    const error = ConnectError.from(await ask("1").catch((thrown: unknown) => thrown));
    expect(error.code).toBe(Code.ResourceExhausted);
    expect(error.findDetails(ErrorInfoSchema)[0]).toMatchObject({
      reason: "QUOTA_EXCEEDED",
      metadata: { limit_name: "chat_completions_user", limit: "2", used: "2", per_user: "true" },
    });
    expect(error.findDetails(QuotaFailureSchema)[0]?.violations).toMatchObject([
      { subject: "chat_completions_user", description: "2 of 2 requests used by this user" },
    ]);
    await ask("2");

    const { features } = await client.limits.getLimits({}, { headers: { "x-sourcegraph-actor-uid": "2" } });
    expect(features[0]).toMatchObject({
      rateLimit: { name: "chat_completions", used: 3n, perUser: false },
      userRateLimits: [{ name: "chat_completions_user", limit: 2n, used: 1n, perUser: true }],
    });
    expect(features[0]?.rateLimits.map(({ perUser }) => perUser)).toEqual([false, false]);
  });

  it("has its part of the requests in flight", async () => {
    gw.upstream.holdAll();
    const ask = (user: string) =>
      fetch(`${gw.url}/openai/v1/chat/completions`, {
        method: "POST",
        headers: asUser(token, user),
        body: JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content: "hi" }] }),
      });
    const held = [ask("1"), ask("1"), ask("2")];
    for (let at = 0; at < 3; at++) await gw.upstream.nextCall();
    const refused = await ask("1");
    expect(refused.status).toBe(429);
    expect(await refused.text()).toContain('concurrency limit of 2 requests for each user for \\"chat_completions\\"');
    const { features } = await gw.client().limits.getLimits({}, { headers: { "x-sourcegraph-actor-uid": "1" } });
    expect(features[0]).toMatchObject({ inFlight: 3, inFlightLimit: 4, userInFlight: 2, userInFlightLimit: 2 });
    for (const call of gw.upstream.calls) call.end();
    await Promise.allSettled(held);
  });
});

describe("operators", () => {
  it("see what each user has, and where one stands, and can give it back", async () => {
    const { chat, ref, admin } = await subscription();
    for (let at = 0; at < 3; at++) await chat("7");
    const { features } = await admin.getActor({ query: { case: "actor", value: ref } });
    expect(features[0]).toMatchObject({ perUser: { limits: [], percentage: 20 }, perUserOrigin: Origin.DEFAULT });
    expect(features[0]?.limits.map(({ rateLimit }) => rateLimit?.perUser)).toEqual([false, false]);

    const usage = async () => (await admin.getUsage({ actor: ref, feature: chatFeature, endUser: "7" })).features[0];
    expect((await usage())?.userLimits).toMatchObject([{ rateLimit: { limit: 2n, used: 2n, perUser: true } }]);
    expect((await admin.getUsage({ actor: ref, feature: chatFeature })).features[0]?.userLimits).toEqual([]);

    await admin.resetUsage({ actor: ref, feature: chatFeature, endUser: "7", reason: "a test" });
    expect((await usage())?.userLimits).toMatchObject([{ rateLimit: { used: 0n } }]);
    expect((await usage())?.limits[0]).toMatchObject({ state: { rateLimit: { used: 2n } } });
    expect((await chat("7")).status).toBe(200);
  });

  it("are explained what the user of a request then gets", async () => {
    const { chat, ref, admin } = await subscription();
    const explain = (endUser: string) =>
      admin.explainAccess({
        caller: { case: "actor", value: ref },
        feature: chatFeature,
        model: "openai/gpt-4o",
        endUser,
      });
    await chat("7");
    await chat("7");
    const refused = await explain("7");
    expect(refused).toMatchObject({ allowed: false, reason: ErrorReason.QUOTA_EXCEEDED });
    expect(refused.checks.filter(({ passed }) => !passed)).toMatchObject([
      { kind: Kind.LIMIT, perUser: true, detail: "quota exceeded", limit: { rateLimit: { used: 2n, limit: 2n } } },
    ]);
    expect((await explain("8")).allowed).toBe(true);
    expect((await explain("anonymous:7")).allowed).toBe(true);
    expect(await statuses([chat("7"), chat("8")])).toEqual([429, 200]);
    expect((await chat("8")).status).toBe(200);
    await expect(explain("no id")).rejects.toMatchObject({ code: Code.InvalidArgument });
  });

  it("set it for one subscription, which outlasts syncs, and can lift it", async () => {
    const { chat, ref, admin } = await subscription();
    const override = (perUser: object) =>
      admin.setActorOverride({
        actor: ref,
        subject: { case: "limits", value: { feature: chatFeature, limits: [], perUser } },
        reason: "a test",
      });
    const day24 = { seconds: BigInt(day) };
    await override({ limits: [{ limit: 3n, interval: day24 }] });
    await fetch(`${gw.url}/-/actor/sync-all-sources`, { headers: { authorization: `Bearer ${secret}` } });
    expect((await statuses([1, 2, 3, 4].map(() => chat("7")))).toSorted()).toEqual([200, 200, 200, 429]);
    const { features } = await admin.getActor({ query: { case: "actor", value: ref } });
    expect(features[0]).toMatchObject({
      perUser: { limits: [{ limit: 3n }] },
      perUserOrigin: Origin.OVERRIDE,
      limits: [{ rateLimit: { limit: 10n }, origin: Origin.SOURCE }, {}],
    });

    await override({});
    expect((await chat("7")).status).toBe(200);
    await admin.clearActorOverride({ actor: ref, which: { case: "all", value: true }, reason: "a test" });
    expect((await chat("7")).status).toBe(429);
  });
});
