// A hundred thousand actors: what their first sync takes, and what strangers then cost. `npm run test:soak`, on a machine that
// has nothing else to do: the goals are for one with two cores.

import { fork } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { request } from "undici";
import { afterAll, expect, it } from "vitest";
import { createDemoPortal, type DemoPortal } from "../../src/demo/portal.js";
import { demoSubscriptions, demoToken, demoUuid } from "../../src/demo/subscriptions.js";
import { type GatewayProcess, startFleet } from "../helpers/processes.js";
import { startRedis, until } from "../helpers/redis.js";
import type { FloodResult, FloodSettings } from "./flood-worker.js";

const count = 100_000;
const diagnostics = "the-diagnostics-secret";
const tokenAt = (index: number): string => demoToken(demoUuid(String(index)));

async function memoryMb({ pid }: GatewayProcess, of: "VmRSS" | "VmHWM"): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Math.round(Number(new RegExp(`${of}:\\s+(\\d+)`).exec(status)?.[1]) / 1024);
}

/** CPU time so far, with what its start took. */
async function cpuSeconds({ pid }: GatewayProcess): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, "utf8")).split(") ")[1]?.split(" ") ?? [];
  // Of a hundred ticks each.
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function statusOf({ url }: GatewayProcess, token: string): Promise<number> {
  const answer = await request(`${url}/v1/limits`, { headers: { authorization: `Bearer ${token}` } });
  await answer.body.dump();
  return answer.statusCode;
}

async function portalOf(pages: boolean): Promise<DemoPortal> {
  const portal = createDemoPortal({ pages });
  await portal.listen();
  portal.set(demoSubscriptions(count));
  return portal;
}

const turns = mkdtempSync(join(tmpdir(), "cody-turns-"));
afterAll(() => rmSync(turns, { recursive: true, force: true }));

const envFor = (portal: DemoPortal) => ({
  NODE_OPTIONS: `--import=${new URL("turn-meter.js", import.meta.url).href}`,
  TURN_METER_FOLDER: turns,
  CODY_GATEWAY_ENTERPRISE_PORTAL_URL: portal.url,
  CODY_GATEWAY_SOURCES_SYNC_INTERVAL: "60m",
  CODY_GATEWAY_DIAGNOSTICS_SECRET: diagnostics,
});

/** Measures the turns of its event loop, once it is ready and until all are known. Returns the longest one's CPU time, ms. */
async function untilKnown(gateway: GatewayProcess): Promise<number> {
  gateway.signal("SIGUSR2");
  await until(async () => (await gateway.metric("cody_gateway_actors_known")) === count, 120_000);
  gateway.signal("SIGUSR2");
  const file = join(turns, String(gateway.pid));
  await until(async () => existsSync(file));
  return Number(await readFile(file, "utf8"));
}

async function syncNow({ url }: GatewayProcess): Promise<void> {
  const headers = { authorization: `Bearer ${diagnostics}` };
  const answer = await request(`${url}/-/actor/sync-all-sources`, { method: "POST", headers });
  expect(await answer.body.text()).toContain('"outcome":"succeeded"');
}

it.each([
  ["page by page", true],
  // Of a portal that knows no pages.
  ["all at once", false],
])("are synced %s within ten seconds, in 300 MB, and hold nothing up", async (_, pages) => {
  const portal = await portalOf(pages);
  await using fleet = await startFleet({ actors: { acme: [] }, gateways: 0, env: envFor(portal) });
  const startedAt = performance.now();
  const gateway = await fleet.start();
  const longestTurnMs = await untilKnown(gateway);
  const syncedMs = performance.now() - startedAt;
  const syncedCpuSeconds = await cpuSeconds(gateway);
  const peaks = [await memoryMb(gateway, "VmHWM")];
  const resident = [await memoryMb(gateway, "VmRSS")];
  for (let round = 0; round < 4; round++) {
    await syncNow(gateway);
    peaks.push(await memoryMb(gateway, "VmHWM"));
    resident.push(await memoryMb(gateway, "VmRSS"));
  }
  console.log({ pages, syncedMs, syncedCpuSeconds, longestTurnMs, peaks, resident });

  portal.clear();
  for (let index = 0; index < count; index += 997) expect(await statusOf(gateway, tokenAt(index))).toBe(200);
  expect(portal.calls).toEqual([]);
  expect(Math.max(...peaks)).toBeLessThan(300);
  // What the machine does beside says nothing about this.
  expect(syncedCpuSeconds).toBeLessThan(10);
  expect(syncedMs).toBeLessThan(10_000);
  expect(longestTurnMs).toBeLessThan(20);
  await portal.close();
});

it("are listed once for four processes on Redis, and not again for their restart, each in 300 MB", async () => {
  await using redis = await startRedis();
  const portal = await portalOf(true);
  const first = (): number =>
    portal.calls.filter(({ request: asked }) => "pageToken" in asked && !asked.pageToken).length;
  await using fleet = await startFleet({
    redis: redis.endpoint,
    actors: { acme: [] },
    gateways: 0,
    env: envFor(portal),
  });
  const four = (): Promise<GatewayProcess[]> => Promise.all(Array.from({ length: 4 }, () => fleet.start()));

  for (let round = 0; round < 3; round++) {
    portal.clear();
    const startedAt = performance.now();
    const gateways = await four();
    const turnsMs = await Promise.all(gateways.map(untilKnown));
    const tookMs = performance.now() - startedAt;
    // The sync has to be over, or the next four go on with it.
    await until(async () => {
      const ages = await Promise.all(gateways.map((each) => each.metric("cody_gateway_source_sync_age_seconds")));
      return ages.every((age) => age !== undefined);
    }, 60_000);
    const peaks = await Promise.all(gateways.map((gateway) => memoryMb(gateway, "VmHWM")));
    console.log({ round, tookMs, turnsMs, peaks, listings: first() });
    expect(first()).toBeLessThanOrEqual(1);
    expect(Math.max(...peaks)).toBeLessThan(300);
    await Promise.all(gateways.map((gateway) => gateway[Symbol.asyncDispose]()));
  }
  await portal.close();
});

/** Requests with these tokens, or with none but made-up ones. */
async function flood(
  { port }: GatewayProcess,
  ask: FloodSettings["ask"],
  forMs: number,
  tokens: readonly string[] = [],
): Promise<FloodResult> {
  const settings: FloodSettings = { port, ask, forMs, sockets: 32, depth: 2, tokens };
  const worker = fileURLToPath(new URL("flood-worker.ts", import.meta.url));
  const child = fork(worker, [JSON.stringify(settings)], { execArgv: ["--import", "tsx"] });
  const [result] = (await once(child, "message")) as [FloodResult];
  return result;
}

/** Times of known actors' requests, one after another, until `work` is done: ms, median and 99th percentile. */
async function latencyDuring(gateway: GatewayProcess, work: Promise<unknown>): Promise<{ p50: number; p99: number }> {
  let over = false;
  void work.then(() => (over = true));
  const times: number[] = [];
  for (let index = 0; !over; index = (index + 991) % count) {
    const since = performance.now();
    expect(await statusOf(gateway, tokenAt(index))).toBe(200);
    times.push(performance.now() - since);
    await sleep(10);
  }
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor(sorted.length * share)] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99) };
}

it("are not shaken by a flood of strangers", async () => {
  const portal = await portalOf(true);
  await using fleet = await startFleet({ actors: { acme: [] }, gateways: 0, env: envFor(portal) });
  const gateway = await fleet.start();
  await untilKnown(gateway);
  const alone = await latencyDuring(gateway, sleep(5_000));

  // As many requests at a time, of actors that are known: what the load itself does to others.
  const known = Array.from({ length: 1_000 }, (_, index) => tokenAt(index * 97));
  const besideKnown = await latencyDuring(gateway, flood(gateway, "limits", 15_000, known));
  console.log({ alone, besideKnown });

  for (const [ask, seconds] of [
    ["limits", 60],
    ["completion", 20],
    ["rpc", 20],
  ] as const) {
    // The first of it takes memory once, as any load does.
    await flood(gateway, ask, 5_000);
    const before = await memoryMb(gateway, "VmRSS");
    portal.clear();
    const strangers = flood(gateway, ask, seconds * 1_000);
    const besideStrangers = await latencyDuring(gateway, strangers);
    const after = await memoryMb(gateway, "VmRSS");
    const seen = await strangers;
    const perSecond = Math.round(Object.values(seen).reduce((sum, each) => sum + each, 0) / seconds);
    console.log({ ask, seen, perSecond, lookups: portal.calls.length, besideStrangers, before, after });

    expect(Object.keys(seen).toSorted()).toEqual(["401", "503"]);
    // At most 10 a second, over all the time, the first second's burst included.
    expect(portal.calls.length).toBeLessThanOrEqual(10 * seconds + 10);
    expect(after - before).toBeLessThan(48);
    expect(besideStrangers.p50).toBeLessThan(2 * alone.p50);
    // What the machine does to three busy processes on two cores, it does beside those who are known, too.
    expect(besideStrangers.p99).toBeLessThan(Math.max(2 * alone.p99, besideKnown.p99));
  }
  await portal.close();
});
