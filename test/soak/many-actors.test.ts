// Tens of thousands of actors: what their first sync takes, and what strangers then cost. `npm run test:soak`.

import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { request } from "undici";
import { expect, it } from "vitest";
import { createDemoPortal } from "../../src/demo/portal.js";
import { demoSubscriptions, demoToken, demoUuid } from "../../src/demo/subscriptions.js";
import { type GatewayProcess, startFleet } from "../helpers/processes.js";
import { until } from "../helpers/redis.js";

const count = 100_000;

async function memoryMb({ pid }: GatewayProcess, of: "VmRSS" | "VmHWM"): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`${of}:\\s+(\\d+)`).exec(status)?.[1]) / 1024;
}

async function statusOf({ url }: GatewayProcess, token: string): Promise<number> {
  const answer = await request(`${url}/v1/limits`, { headers: { authorization: `Bearer ${token}` } });
  await answer.body.dump();
  return answer.statusCode;
}

it("a hundred thousand are synced at once, found without asking again, and not shaken by strangers", async () => {
  const portal = createDemoPortal({ pages: true });
  await portal.listen();
  portal.set(demoSubscriptions(count));
  await using fleet = await startFleet({
    actors: { acme: [] },
    gateways: 0,
    env: { CODY_GATEWAY_ENTERPRISE_PORTAL_URL: portal.url, CODY_GATEWAY_SOURCES_SYNC_INTERVAL: "60m" },
  });
  const startedAt = performance.now();
  const gateway = await fleet.start();
  await until(async () => (await gateway.metric("cody_gateway_actors_known")) === count, 60_000);
  const syncedMs = performance.now() - startedAt;
  const lag = await gateway.metric("nodejs_eventloop_lag_max_seconds");
  const synced = { rss: await memoryMb(gateway, "VmRSS"), peak: await memoryMb(gateway, "VmHWM") };

  portal.clear();
  for (let index = 0; index < count; index += 997)
    expect(await statusOf(gateway, demoToken(demoUuid(String(index))))).toBe(200);
  expect(portal.calls).toEqual([]);

  // Strangers for half a minute, as fast as this process can ask.
  const end = performance.now() + 30_000;
  const seen = new Map<number, number>();
  const ask = async (): Promise<void> => {
    while (performance.now() < end) {
      const status = await statusOf(gateway, `slk_${randomBytes(32).toString("hex")}`);
      seen.set(status, (seen.get(status) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: 64 }, ask));
  const after = await memoryMb(gateway, "VmRSS");
  console.log({ syncedMs, lag, synced, after, seen, lookups: portal.calls.length });

  expect([...seen.keys()].toSorted((a, b) => a - b)).toEqual([401, 503]);
  // At most 10 a second, over all the time, the first second's burst included.
  expect(portal.calls.length).toBeLessThanOrEqual(320);
  expect(after - synced.peak).toBeLessThan(64);
  await portal.close();
});
