// Actors over four gateways on one Redis, with an Enterprise Portal that can fail.

import { setTimeout as sleep } from "node:timers/promises";
import { request } from "undici";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createDemoPortal, type DemoPortal, type PortalCall } from "../../src/demo/portal.js";
import { demoSubscriptions, demoToken, demoUuid } from "../../src/demo/subscriptions.js";
import { type Fleet, type GatewayProcess, startFleet } from "../helpers/processes.js";
import { type RedisServer, startRedis, until } from "../helpers/redis.js";

const count = 60;
const diagnostics = "the-diagnostics-secret";

let redis: RedisServer;
let portal: DemoPortal;
let fleet: Fleet;
/** The four that all tests use. */
let gateways: readonly GatewayProcess[];
/** Syncs that they did when they started. One call of a sync may be sent twice: the portal's calls say less. */
let firstSyncs: number;

const gatewayEnv = () => ({
  CODY_GATEWAY_ENTERPRISE_PORTAL_URL: portal.url,
  CODY_GATEWAY_SOURCES_SYNC_INTERVAL: "60m",
  CODY_GATEWAY_DIAGNOSTICS_SECRET: diagnostics,
  CODY_GATEWAY_LOG_LEVEL: "debug",
  // Made by the first of them, and kept in Redis.
  CODY_GATEWAY_TOKEN_PEPPER: "",
});

beforeAll(async () => {
  redis = await startRedis();
  portal = createDemoPortal({ pages: true });
  await portal.listen();
  portal.set(demoSubscriptions(count));
  fleet = await startFleet({ redis: redis.endpoint, actors: {}, gateways: 4, env: gatewayEnv() });
  gateways = [...fleet.gateways];
  await Promise.all(gateways.map((gateway) => until(async () => (await known(gateway)) === count)));
  await until(async () => (await syncsDone()) > 0);
  firstSyncs = await syncsDone();
});
afterAll(async () => {
  await fleet?.[Symbol.asyncDispose]();
  await portal?.[Symbol.asyncDispose]();
  await redis?.[Symbol.asyncDispose]();
});
beforeEach(() => {
  portal.heal();
  portal.clear();
});

const tokenAt = (index: number): string => demoToken(demoUuid(String(index)));
const randomToken = (): string =>
  `slk_${Array.from({ length: 64 }, () => Math.floor(Math.random() * 16).toString(16)).join("")}`;

const known = (gateway: GatewayProcess): Promise<number | undefined> => gateway.metric("cody_gateway_actors_known");

/** What is wrong with a request of ours once it is known who calls: nothing but that is looked at. */
const letIn = 400;

async function knock(gateway: GatewayProcess, token: string) {
  const { statusCode, headers, body } = await request(`${gateway.url}/v1/completions/openai`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}` },
  });
  return { status: statusCode, retryAfter: headers["retry-after"], body: await body.text() };
}

async function syncsDone(): Promise<number> {
  const each = await Promise.all(gateways.map((gateway) => gateway.metric("cody_gateway_source_syncs_total")));
  return each.reduce<number>((sum, done = 0) => sum + done, 0);
}

/** What each gateway answers to the token. */
async function statuses(token: string): Promise<number[]> {
  return Promise.all(gateways.map(async (gateway) => (await knock(gateway, token)).status));
}

async function syncNow(gateway = gateways[0] as GatewayProcess) {
  const { statusCode, body } = await request(`${gateway.url}/-/actor/sync-all-sources`, {
    method: "POST",
    headers: { authorization: `Bearer ${diagnostics}` },
  });
  return { status: statusCode, text: await body.text() };
}

const gets = () => portal.calls.filter(({ method }) => method === "Get");
const lists = () => portal.calls.filter(({ method }) => method === "List");
const isFirstPage = ({ request: asked }: PortalCall): boolean => "pageToken" in asked && asked.pageToken === "";

it("makes one listing for four gateways that start together, and none for one that starts soon after", async () => {
  expect(firstSyncs).toBe(1);

  const late = await fleet.start();
  expect(await known(late)).toBe(count);
  await sleep(500);
  expect(lists()).toEqual([]);
  await late[Symbol.asyncDispose]();
});

it("needs no look-up for actors that were synced", async () => {
  for (let at = 0; at < count; at += 7) expect(await statuses(tokenAt(at))).toEqual([letIn, letIn, letIn, letIn]);
  expect(portal.calls).toEqual([]);
});

it("looks a token up once, though a thousand requests come together to four gateways", async () => {
  const id = demoUuid("cold");
  portal.set([{ id }]);
  portal.fail({ kind: "slow", delayMs: 500 }, { times: 1 });

  const answers = await Promise.all(
    Array.from({ length: 1_000 }, (_, at) => knock(gateways[at % 4] as GatewayProcess, demoToken(id))),
  );

  expect(answers.filter(({ status }) => status !== letIn)).toEqual([]);
  expect(gets()).toHaveLength(1);
  portal.remove(id);
});

// How soon that is, is measured by the soak (`test/soak/sync-leader.test.ts`): a busy machine says nothing about it.
it("refuses tokens everywhere that were removed or whose access was switched off, once a sync has learned it", async () => {
  const [gone, off] = [tokenAt(1), tokenAt(2)];
  expect([await statuses(gone), await statuses(off)].flat().every((status) => status === letIn)).toBe(true);
  portal.remove(demoUuid("1"));
  portal.set([{ id: demoUuid("2"), enabled: false }]);

  const { status, text } = await syncNow();
  expect(status).toBe(200);
  const lines = text.trimEnd().split("\n");
  expect(JSON.parse(lines.at(-1) ?? "")).toMatchObject({ outcome: "succeeded", changed: 1 });

  await until(async () => (await statuses(off)).every((each) => each === 403));
  await until(async () => (await statuses(gone)).every((each) => each === 401));
  portal.set([{ id: demoUuid("1") }, { id: demoUuid("2") }]);
  await syncNow();
});

it("joins the sync under way, asked for in another gateway, and tells both how it went", async () => {
  portal.fail({ kind: "slow", delayMs: 700 }, { times: 1, path: "List" });
  const first = syncNow(gateways[0]);
  await portal.waitFor(({ method }) => method === "List").catch(() => undefined);
  const second = await syncNow(gateways[1]);

  expect([(await first).status, second.status]).toEqual([200, 200]);
  expect(lists().filter(isFirstPage).length).toBeLessThan(3);
});

describe("while the portal fails", () => {
  it.each([
    ["refuses connections", { kind: "refuse" } as const],
    ["does not answer", { kind: "hang" } as const],
    ["answers 500", { kind: "status", status: 500 } as const],
    ["answers nonsense", { kind: "garbage" } as const],
    ["cannot do TLS or anything else", { kind: "no-handshake" } as const],
  ])("and %s, known actors are served and unknown tokens get 503", async (_, fault) => {
    portal.fail(fault);

    const unknown = Promise.all(gateways.map((gateway) => knock(gateway, randomToken())));
    for (const at of [3, 4, 5]) expect(await statuses(tokenAt(at))).toEqual([letIn, letIn, letIn, letIn]);
    for (const { status, retryAfter } of await unknown) {
      expect(status).toBe(503);
      expect(Number(retryAfter)).toBeGreaterThan(0);
    }
    if (fault.kind !== "hang") {
      expect((await syncNow()).status).toBe(500);
      await until(async () => (await gateways[3]?.metric("cody_gateway_source_up")) === 0);
    }
    for (const at of [3, 4, 5]) expect(await statuses(tokenAt(at))).toEqual([letIn, letIn, letIn, letIn]);
    for (const gateway of gateways) expect((await gateway.get("/readyz")).status).toBe(200);

    portal.heal();
    await until(async () => (await syncNow()).status === 200);
  });

  it("and lists nobody, all are kept and the sync is held", async () => {
    portal.distort((page) => void page.accesses.splice(0));

    const { status, text } = await syncNow();
    portal.distort(undefined);

    expect(status).toBe(200);
    expect(text).toContain('"msg":"sync held"');
    expect(await statuses(tokenAt(6))).toEqual([letIn, letIn, letIn, letIn]);
    await until(async () => (await gateways[2]?.metric("cody_gateway_source_sync_held")) === 1);
    await syncNow();
    await until(async () => (await gateways[2]?.metric("cody_gateway_source_sync_held")) === 0);
  });
});

it("spares the portal when made-up tokens pour in", async () => {
  const started = performance.now();
  const waves: number[] = [];
  for (let wave = 0; wave < 5; wave++) {
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, at) => knock(gateways[at % 4] as GatewayProcess, randomToken())),
    );
    waves.push(...answers.map(({ status }) => status));
    expect(answers.every(({ status, retryAfter }) => status === 401 || Number(retryAfter) > 0)).toBe(true);
  }
  const seconds = (performance.now() - started) / 1_000;

  expect(new Set(waves)).toEqual(new Set([401, 503]));
  expect(gets().length).toBeGreaterThan(0);
  expect(gets().length).toBeLessThanOrEqual(10 * Math.ceil(seconds + 1));
  expect(await statuses(tokenAt(7))).toEqual([letIn, letIn, letIn, letIn]);
});

it("leaves no token in Redis, in logs or in metrics", async () => {
  const unknown = randomToken();
  const { body } = await knock(gateways[0] as GatewayProcess, unknown);
  const texts = [body, ...gateways.map(({ log }) => log)];
  for (const gateway of gateways) texts.push((await gateway.get("/metrics")).body);
  for (const key of await redis.client.keys("*")) {
    texts.push(key);
    const type = await redis.client.type(key);
    if (type === "hash") texts.push(JSON.stringify(await redis.client.hgetall(key)));
    if (type === "string") texts.push((await redis.client.get(key)) ?? "");
    if (type === "stream") texts.push(JSON.stringify(await redis.client.xrange(key, "-", "+")));
    if (type === "zset") texts.push(JSON.stringify(await redis.client.zrange(key, "0", "-1")));
  }

  const all = texts.join("\n");
  expect(all).toContain("sync succeeded");
  for (const token of [unknown, tokenAt(0), tokenAt(7), demoToken(demoUuid("cold"))])
    expect(all.includes(token.slice(4))).toBe(false);
});

it("messages that no gateway of this version would send end none", async () => {
  const gateway = await fleet.start();
  const channels = (await redis.client.pubsub("CHANNELS", "*")) as string[];
  expect(channels.some((channel) => channel.endsWith("forget"))).toBe(true);
  for (const channel of channels)
    for (const message of ["", "{", "null", "[]", '{"process":1,"event":{}}', "\u0000"])
      await redis.client.publish(channel, message);

  await until(async () => gateway.log.includes("a message of another process cannot be read"));
  for (const each of [...gateways, gateway]) expect((await knock(each, tokenAt(1))).status).toBe(letIn);
  await gateway[Symbol.asyncDispose]();
});
