// Alerts as people get them: a real gateway, and a listener in the place of Slack and of a webhook.

import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { run } from "../../src/cli/run.js";
import { startDemoBackEnds } from "../../src/demo/back-ends.js";
import { demoToken, demoUuid } from "../../src/demo/subscriptions.js";
import { fakeIo } from "../cli/fake-io.js";
import { adminOf, adminTokens, operatorToken, viewerToken } from "../helpers/admin.js";
import { type TestGateway, testGateway } from "../helpers/gateway.js";
import { startFleet } from "../helpers/processes.js";
import { startRedis, until } from "../helpers/redis.js";
import { type Posted, type WebhookListener, webhookListener } from "../helpers/webhook.js";

const secret = "the secret of the webhook";

let slack: WebhookListener;
let hook: WebhookListener;
let gw: TestGateway;
beforeAll(async () => {
  [slack, hook] = await Promise.all([webhookListener(), webhookListener()]);
  const actors = ["one", "two", "three", "four"].map((id) => ({
    id,
    name: `Shop ${id} <!channel>`,
    tokens: [{ ref: `env:TOKEN_${id.toUpperCase()}` }],
    limits: { chat_completions: [{ limit: 10, per: "1h" }] },
  }));
  const shared = {
    id: "shared",
    tokens: [{ ref: "env:TOKEN_SHARED" }],
    limits: { chat_completions: [{ limit: 10, per: "1h" }] },
    perUserLimits: { chat_completions: [{ limit: 2, per: "1h" }] },
  };
  const env = Object.fromEntries([...actors, shared].map(({ id }) => [`TOKEN_${id.toUpperCase()}`, tokenOf(id)]));
  gw = await testGateway({
    actors: [...actors, shared],
    env: { ...env, CODY_GATEWAY_ADMIN_TOKENS: adminTokens, SLACK: `${slack.url}/services/canary`, HOOK_SECRET: secret },
    file: {
      notifications: [
        { slack: "env:SLACK", sources: ["static"] },
        { webhook: `${hook.url}/alerts`, secret: "env:HOOK_SECRET", thresholds: [50], sources: ["static"] },
      ],
    },
  });
});
afterAll(async () => {
  await gw[Symbol.asyncDispose]();
  await Promise.all([slack, hook].map((each) => each[Symbol.asyncDispose]()));
});
beforeEach(() => {
  for (const each of [slack, hook]) {
    (each.posted as Posted[]).length = 0;
    each.answer((res) => void res.end("ok"));
  }
});

function tokenOf(id: string): string {
  return `token-of-the-actor-${id}`;
}

async function chat(bearer: string, url = gw.url, headers: Record<string, string> = {}): Promise<number> {
  const answer = await fetch(`${url}/openai/v1/chat/completions`, {
    method: "POST",
    headers: { ...headers, authorization: `Bearer ${bearer}` },
    body: JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content: "hi" }] }),
  });
  await answer.text();
  return answer.status;
}

async function use(id: string, times: number): Promise<void> {
  for (let n = 0; n < times; n++) await chat(tokenOf(id));
}

const percentOf = ({ body }: Posted): string | undefined => /has used \*(\d+) %\*/.exec(body)?.[1];
const dataOf = ({ body }: Posted) => (JSON.parse(body) as { data: Record<string, unknown> }).data;

describe("alerts", () => {
  it("are about what the actor has, not about what one of its users has", async () => {
    const ask = (user: string) => chat(tokenOf("shared"), gw.url, { "x-sourcegraph-actor-uid": user });
    const got = [];
    for (const user of ["a", "a", "a", "b", "b", "c"]) got.push(await ask(user));
    expect(got).toEqual([200, 200, 429, 200, 200, 200]);
    const [event] = await hook.received(1);
    expect(dataOf(event as Posted)).toMatchObject({ limit: 10, used: 5 });
    expect(hook.posted).toHaveLength(1);
  });

  it("are sent when thresholds are passed, once each, to each in its form", async () => {
    await use("one", 12);
    const told = await slack.received(2);
    const [event] = await hook.received(1);

    expect(told.map(percentOf)).toEqual(["90", "100"]);
    expect(told[0]?.body).toContain("Shop one &lt;!channel&gt;");
    expect(event && dataOf(event)).toMatchObject({
      actor: { source: "static", id: "one" },
      feature: "chat_completions",
      unit: "requests",
      limit: 10,
      used: 5,
      percent: 50,
      threshold: 50,
    });
    expect(event?.headers["webhook-signature"]).toMatch(/^v1,/);
    for (const { headers } of [...slack.posted, ...hook.posted])
      expect(headers["user-agent"]).toBe("Cody-Gateway/dev 0.0.0-test");
    await use("one", 5);
    expect([slack.posted.length, hook.posted.length]).toEqual([2, 1]);
  });

  it("harm no request while nobody takes them, and come when somebody does", async () => {
    slack.answer((res) => void res.writeHead(500).end());
    hook.answer(() => undefined);
    const statuses = await Promise.all(Array.from({ length: 12 }, () => chat(tokenOf("two"))));
    expect(statuses.filter((status) => status === 200)).toHaveLength(10);
    await slack.received(1);
    slack.answer((res) => void res.end("ok"));

    // The first attempt failed, the next comes a second later.
    await until(
      async () => slack.posted.length >= 2 && /alerts_total\{channel="slack",result="sent"\}/.test(await metrics()),
    );
    expect(await metrics()).toMatch(/cody_gateway_alerts_total\{channel="slack",result="retried"\} [1-9]/);
  });

  async function metrics(): Promise<string> {
    return (await fetch(`${gw.url}/metrics`)).text();
  }
});

describe("a test alert", () => {
  it("says what became of it, to operators only, and is audited", async () => {
    hook.answer((res) => void res.writeHead(403).end());
    const { deliveries } = await adminOf(gw).sendTestAlert({ reason: "new channel" });

    expect(deliveries.map(({ channel, error }) => ({ channel, error }))).toEqual([
      { channel: "slack", error: "" },
      { channel: `webhook ${new URL(hook.url).host}`, error: "answered 403" },
    ]);
    expect(slack.posted.some(({ body }) => body.includes("Test of the alerts"))).toBe(true);
    expect((await adminOf(gw).listAuditEntries({ rpc: "SendTestAlert" })).entries[0]).toMatchObject({
      admin: "ada",
      reason: "new channel",
    });
    await expect(adminOf(gw, viewerToken).sendTestAlert({ reason: "x" })).rejects.toThrow("role");
  });

  it("is sent from the command line", async () => {
    const { io, written } = fakeIo({ CODY_GATEWAY_URL: gw.url, CODY_GATEWAY_ADMIN_TOKEN: operatorToken }, {});

    expect(await run(["admin", "alerts", "test", "--reason", "x"], io)).toBe(0);
    expect(written.stdout).toMatch(/^channel +test alert\nslack +delivered\nwebhook 127.0.0.1:\d+ +delivered/);
    hook.answer((res) => void res.writeHead(500).end());
    expect(await run(["admin", "alerts", "test", "--reason", "x"], io)).toBe(1);
    expect(await run(["admin", "alerts", "test"], io)).toBe(2);
    expect(written.stdout + written.stderr).not.toContain("canary");
  });
});

it("an Enterprise subscription is told of by the variable of the existing gateway, with a link", async () => {
  await using slackOfItsOwn = await webhookListener();
  await using ends = await startDemoBackEnds();
  ends.portal.set([{ id: demoUuid("acme"), name: "Acme", chat: [10, 86_400] }]);
  await using gateway = await testGateway({
    env: {
      ...ends.env,
      CODY_GATEWAY_ACTOR_RATE_LIMIT_NOTIFY_SLACK_WEBHOOK_URL: slackOfItsOwn.url,
      // All of the limit at once.
      CODY_GATEWAY_ACTOR_CONCURRENCY_LIMIT_PERCENTAGE: "100",
    },
  });
  const bearer = demoToken(demoUuid("acme"));
  await until(async () => (await chat(bearer, gateway.url)) === 429);
  const [told] = await slackOfItsOwn.received(1);

  expect(told?.body).toContain(`/site-admin/dotcom/product/subscriptions/${demoUuid("acme")}|`);
});

it("three processes that share Redis tell of each threshold once", async () => {
  await using listener = await webhookListener();
  await using redis = await startRedis();
  await using fleet = await startFleet({
    redis: redis.endpoint,
    gateways: 3,
    actors: { acme: [{ limit: 40, per: "1h" }] },
    file: { notifications: [{ webhook: listener.url, thresholds: [50, 90, 100], sources: ["static"] }] },
  });
  const shares = fleet.gateways.map(async (gateway) => {
    for (let n = 0; n < 15; n++) await gateway.chat("acme");
  });
  await Promise.all(shares);
  const thresholds = (): unknown[] => listener.posted.map((post) => dataOf(post)["threshold"]);
  // On a busy machine some were told that Redis is away, and who could not claim an alert tries again when it is asked.
  await until(async () => {
    await Promise.all(fleet.gateways.map((gateway) => gateway.chat("acme")));
    return thresholds().includes(100);
  });
  // What is under way arrives, too.
  await until(async () => {
    const sent = await Promise.all(
      fleet.gateways.map((gateway) => gateway.metric("cody_gateway_alerts_total", "sent")),
    );
    return sent.reduce((sum = 0, each = 0) => sum + each, 0) === listener.posted.length;
  });

  expect(thresholds().toSorted()).toEqual([...new Set(thresholds())].toSorted());
});
