// Gateways on one Redis: a leader of a sync that was stopped past the end of its lease, and how soon all refuse a token that was
// withdrawn. `npm run test:soak`.

import { request } from "undici";
import { expect, it } from "vitest";
import { createDemoPortal, type DemoPortal } from "../../src/demo/portal.js";
import { type DemoSubscription, demoSubscriptions, demoToken, demoUuid } from "../../src/demo/subscriptions.js";
import { type GatewayProcess, startFleet } from "../helpers/processes.js";
import { startRedis, until } from "../helpers/redis.js";

const diagnostics = "the-diagnostics-secret";
const tokenAt = (index: number): string => demoToken(demoUuid(String(index)));

const envFor = (portal: DemoPortal) => ({
  CODY_GATEWAY_ENTERPRISE_PORTAL_URL: portal.url,
  CODY_GATEWAY_SOURCES_SYNC_INTERVAL: "60m",
  CODY_GATEWAY_DIAGNOSTICS_SECRET: diagnostics,
});

/** 400: let in, and then told that the request is none. */
async function statusOf({ url }: GatewayProcess, token: string): Promise<number> {
  const headers = { authorization: `Bearer ${token}` };
  const answer = await request(`${url}/v1/completions/openai`, { method: "POST", headers });
  await answer.body.dump();
  return answer.statusCode;
}

const known = (gateway: GatewayProcess): Promise<number | undefined> => gateway.metric("cody_gateway_actors_known");

async function synced(gateway: GatewayProcess): Promise<boolean> {
  return (await gateway.metric("cody_gateway_source_sync_age_seconds")) !== undefined;
}

it("a leader that was stopped past the end of its lease overwrites nothing that its successor wrote", async () => {
  const count = 10_000;
  await using redis = await startRedis();
  const portal = createDemoPortal({ pages: true });
  await portal.listen();
  const all = (change: Partial<DemoSubscription>): void => portal.set(demoSubscriptions(count, () => change));
  all({});
  await using fleet = await startFleet({ redis: redis.endpoint, actors: {}, gateways: 0, env: envFor(portal) });
  const leader = await fleet.start();

  // Amid the listing: with a page that it has not written, and more that it has not asked for.
  await portal.waitFor(({ request: asked }) => "pageToken" in asked && asked.pageToken === `es_${demoUuid("4000")}`);
  leader.signal("SIGSTOP");
  const taken = (await redis.client.hlen("cody-gateway:{actors}:records:actors")) ?? 0;
  expect(taken).toBeGreaterThan(0);
  expect(taken).toBeLessThan(count);
  all({ enabled: false });
  const successor = await fleet.start();
  await until(async () => (await known(successor)) === count && (await synced(successor)), 60_000);
  leader.signal("SIGCONT");

  await until(async () => leader.log.includes("lease is lost") || leader.log.includes("sync failed"), 30_000);
  await until(async () => (await known(leader)) === count, 30_000);
  for (let index = 0; index < count; index += 7)
    expect([await statusOf(successor, tokenAt(index)), index]).toEqual([403, index]);
  for (let index = 0; index < count; index += 70)
    expect([await statusOf(leader, tokenAt(index)), index]).toEqual([403, index]);
  await portal.close();
});

it("four gateways refuse a token within a second of the sync that learned that it was withdrawn", async () => {
  await using redis = await startRedis();
  const portal = createDemoPortal({ pages: true });
  await portal.listen();
  portal.set(demoSubscriptions(1_000));
  await using fleet = await startFleet({ redis: redis.endpoint, actors: {}, gateways: 4, env: envFor(portal) });
  const { gateways } = fleet;
  // Not only known: a sync that is asked for while the first is under way would join that.
  await Promise.all(gateways.map((gateway) => until(async () => (await known(gateway)) === 1_000)));
  await Promise.all(gateways.map((gateway) => until(() => synced(gateway))));

  const times: number[] = [];
  for (let index = 0; index < 10; index++) {
    const token = tokenAt(index);
    portal.remove(demoUuid(String(index)));
    const headers = { authorization: `Bearer ${diagnostics}` };
    const answer = await request(`${gateways[index % 4]?.url}/-/actor/sync-all-sources`, { method: "POST", headers });
    await answer.body.dump();
    const since = performance.now();
    const statuses = (): Promise<number[]> => Promise.all(gateways.map((gateway) => statusOf(gateway, token)));
    // Where the portal may not be asked so often, nobody can say yet that the token is nobody's.
    await until(async () => (await statuses()).every((status) => status === 401 || status === 503));
    times.push(performance.now() - since);
    await until(async () => (await statuses()).every((status) => status === 401));
  }
  console.log({ refusedMs: times });
  expect(Math.max(...times)).toBeLessThan(1_000);
  await portal.close();
});
