// A deployment for development beside one for everybody: the same Enterprise Portal, other subscriptions.

import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ErrorReason, Feature } from "../../gen/codygateway/v1/common_pb.js";
import { type DemoBackEnds, startDemoBackEnds } from "../../src/demo/back-ends.js";
import { type DemoSubscription, demoToken, demoUuid } from "../../src/demo/subscriptions.js";
import { adminOf, adminTokens } from "../helpers/admin.js";
import { fakeClock } from "../helpers/fake-clock.js";
import { type TestGateway, testGateway } from "../helpers/gateway.js";

const source = "dotcom-product-subscriptions";
const day = 86_400_000;
const clock = fakeClock();
const at = (days: number): Date => new Date(clock.now() + days * day);

/** Subscriptions, by what makes them admitted, or not. */
const subscriptions: Readonly<Record<string, readonly [admitted: boolean, rest: Partial<DemoSubscription>]>> = {
  "one of Sourcegraph's own": [true, { instanceType: "internal" }],
  "one with a license tagged dev": [true, { licenses: [{ tags: ["plan:enterprise-1", "dev"] }] }],
  "one with a license tagged internal": [true, { licenses: [{ tags: ["internal"] }] }],
  "one whose older license was a customer's": [
    true,
    {
      licenses: [
        { tags: ["dev"], createdAt: at(-1) },
        { tags: [], createdAt: at(-9) },
      ],
    },
  ],
  "one whose newer license has expired": [
    true,
    {
      licenses: [
        { tags: [], createdAt: at(-1), expiresAt: at(-0.5) },
        { tags: ["dev"], createdAt: at(-9) },
      ],
    },
  ],
  "one whose newer license is revoked": [
    true,
    {
      licenses: [
        { tags: [], createdAt: at(-1), revokedAt: at(-0.5) },
        { tags: ["dev"], createdAt: at(-9) },
      ],
    },
  ],
  "a customer's": [false, {}],
  "a customer's second one": [false, { instanceType: "secondary" }],
  "one with a tag that is almost that": [false, { licenses: [{ tags: ["development", "plan:dev"] }] }],
  "one that was for development": [
    false,
    {
      licenses: [
        { tags: ["plan:enterprise-1"], createdAt: at(-1) },
        { tags: ["dev"], createdAt: at(-9) },
      ],
    },
  ],
  "one whose license has expired": [false, { licenses: [{ tags: ["dev"], createdAt: at(-9), expiresAt: at(-1) }] }],
  "one whose license is revoked": [false, { licenses: [{ tags: ["dev"], createdAt: at(-9), revokedAt: at(-1) }] }],
  "one without a license": [false, { licenses: [] }],
};
const names = Object.keys(subscriptions);
const admitted = names.filter((name) => subscriptions[name]?.[0]);
const told = "Cody Gateway access not enabled: this gateway serves subscriptions with a dev or internal license only";

let ends: DemoBackEnds;
let dev: TestGateway;
let prod: TestGateway;
beforeAll(async () => {
  ends = await startDemoBackEnds({ pages: true, maxPageSize: 3 });
  ends.portal.set(names.map((name) => ({ id: demoUuid(name), name, ...subscriptions[name]?.[1] })));
  const common = { ...ends.env, CODY_GATEWAY_ADMIN_TOKENS: adminTokens, CODY_GATEWAY_DIAGNOSTICS_SECRET: secret };
  [dev, prod] = await Promise.all([
    testGateway({
      clock,
      env: { ...common, CODY_GATEWAY_ENVIRONMENT: "sgdev", CODY_GATEWAY_DEV_LICENSES_ONLY: "true" },
    }),
    testGateway({ clock, env: { ...common, CODY_GATEWAY_ENVIRONMENT: "prod" } }),
  ]);
});
afterAll(async () => {
  await Promise.all([dev[Symbol.asyncDispose](), prod[Symbol.asyncDispose]()]);
  await ends.close();
});

const secret = "secret-of-the-diagnostics";
async function sync(gw: TestGateway): Promise<void> {
  const headers = { authorization: `Bearer ${secret}` };
  const answer = await fetch(`${gw.url}/-/actor/sync-all-sources`, { headers });
  expect([answer.status, (await answer.text()).includes("sync finished")]).toEqual([200, true]);
}

async function limitsOf(gw: TestGateway, name: string): Promise<{ status: number; text: string }> {
  const headers = { authorization: `Bearer ${demoToken(demoUuid(name))}` };
  const answer = await fetch(`${gw.url}/v1/limits`, { headers });
  return { status: answer.status, text: await answer.text() };
}

describe("a deployment for development", () => {
  it.each(names)("serves %s only where it is for development, from the listing", async (name) => {
    await sync(dev);
    const { status, text } = await limitsOf(dev, name);
    if (admitted.includes(name)) expect(status).toBe(200);
    else expect([status, JSON.parse(text)]).toEqual([403, { error: told }]);
  });

  it("decides the same for those that it looks up by their tokens, with two calls more", async () => {
    for (const [index, name] of ["new own", "new customer"].entries()) {
      ends.portal.set({ id: demoUuid(name), ...(index === 0 && { instanceType: "internal" as const }) });
      ends.portal.clear();
      expect((await limitsOf(dev, name)).status).toBe(index === 0 ? 200 : 403);
      expect(ends.portal.calls.map(({ method }) => method).toSorted()).toEqual([
        "Get",
        "GetSubscription",
        "ListLicenses",
      ]);
      ends.portal.remove(demoUuid(name));
    }
  });

  it("follows what becomes of a license with the next sync", async () => {
    const name = "a customer's";
    ends.portal.set({ id: demoUuid(name), licenses: [{ tags: ["dev"] }] });
    await sync(dev);
    expect((await limitsOf(dev, name)).status).toBe(200);
    ends.portal.set({ id: demoUuid(name) });
    await sync(dev);
    expect((await limitsOf(dev, name)).status).toBe(403);
  });

  it("tells RPCs, explanations and operators why", async () => {
    await sync(dev);
    const token = demoToken(demoUuid("one without a license"));
    const refused = await dev
      .client({ token })
      .limits.getLimits({})
      .catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(ConnectError);
    expect(refused).toMatchObject({ code: Code.PermissionDenied, rawMessage: told });

    const caller = { case: "actor" as const, value: { source, id: demoUuid("one without a license") } };
    const explained = await adminOf(dev).explainAccess({ caller, feature: Feature.CHAT_COMPLETIONS });
    expect(explained).toMatchObject({ allowed: false, reason: ErrorReason.ACCESS_DISABLED, message: told });
    const seen = await adminOf(dev).getActor({ query: caller });
    expect(seen.actor).toMatchObject({ accessEnabled: false, noAccessMessage: told });
    const own = { case: "actor" as const, value: { source, id: demoUuid("one of Sourcegraph's own") } };
    expect((await adminOf(dev).getActor({ query: own })).actor).toMatchObject({ noAccessMessage: "" });
    expect((await adminOf(dev).explainAccess({ caller: own, feature: Feature.CHAT_COMPLETIONS })).allowed).toBe(true);
  });

  it("lets in whom an operator lets in", async () => {
    await sync(dev);
    const actor = { source, id: demoUuid("a customer's second one") };
    const subject = { case: "access" as const, value: { enabled: true } };
    await adminOf(dev).setActorOverride({ actor, subject, reason: "a trial" });
    expect((await limitsOf(dev, "a customer's second one")).status).toBe(200);
    await adminOf(dev).clearActorOverride({ actor, which: { case: "all", value: true }, reason: "over" });
    expect((await limitsOf(dev, "a customer's second one")).status).toBe(403);
  });

  it("keeps what it knows while the portal does not say whose licenses are for development", async () => {
    await sync(dev);
    ends.portal.fail({ kind: "status", status: 500 }, { path: "SubscriptionsService" });
    try {
      const headers = { authorization: `Bearer ${secret}` };
      expect((await fetch(`${dev.url}/-/actor/sync-all-sources`, { headers })).status).toBe(500);
      expect((await limitsOf(dev, "one of Sourcegraph's own")).status).toBe(200);
      expect((await limitsOf(dev, "a customer's")).status).toBe(403);
    } finally {
      ends.portal.heal();
    }
  });
});

describe("a deployment for everybody", () => {
  it.each(names)("serves %s, and asks nothing about licenses", async (name) => {
    ends.portal.clear();
    await sync(prod);
    expect((await limitsOf(prod, name)).status).toBe(200);
    expect(ends.portal.calls.map(({ method }) => method)).not.toContain("ListLicenses");
  });
});

describe("the name of a deployment", () => {
  it("stands in events, in metrics, and in what it calls itself towards portal and providers", async () => {
    await sync(prod);
    const answer = await fetch(`${prod.url}/openai/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${demoToken(demoUuid("a customer's"))}` },
      body: JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content: "hello" }] }),
    });
    expect(answer.status).toBe(200);
    expect(await prod.event()).toMatchObject({ environment: "prod" });
    expect(prod.upstream.calls.at(-1)?.headers["user-agent"]).toBe("Cody-Gateway/prod 0.0.0-test");
    expect(await (await fetch(`${prod.url}/metrics`)).text()).toContain(
      'cody_gateway_build_info{version="0.0.0-test",environment="prod"} 1',
    );
    const agents = new Set(ends.portal.calls.map(({ userAgent }) => userAgent));
    expect(agents).toContain("Cody-Gateway/prod 0.0.0-test");
  });
});
