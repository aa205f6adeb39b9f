// Gateways with a data directory: what they go on with after a restart, and what happens when its disk is full.

import { describe, expect, it } from "vitest";
import { adminOf, adminTokens } from "../helpers/admin.js";
import { dataDir, mayMount, smallDisk } from "../helpers/data-dir.js";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";
import { recordingLog } from "../helpers/log.js";
import { startFleet, usageOf } from "../helpers/processes.js";
import { until } from "../helpers/redis.js";

function chat({ url }: TestGateway, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${url}/openai/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json", ...headers },
    body: JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content: "hello" }] }),
  });
}

const actor = (limit: number): object => ({ limits: { chat_completions: [{ limit, per: "24h" }, { inFlight: 50 }] } });

describe("a gateway with a data directory", () => {
  it("counts on after a restart, in the same window", async () => {
    await using dir = await dataDir();
    const options = { actor: actor(3), env: { CODY_GATEWAY_DATA_DIR: dir.path } };
    let resetAt: bigint | undefined;
    {
      await using before = await testGateway(options);
      for (let i = 0; i < 2; i++) expect((await chat(before)).status).toBe(200);
      const { features } = await before.client().limits.getLimits({});
      resetAt = features[0]?.rateLimit?.resetTime?.seconds;
    }
    await using after = await testGateway(options);
    const { features } = await after.client().limits.getLimits({});
    expect(features[0]).toMatchObject({ rateLimit: { used: 2n, resetTime: { seconds: resetAt } }, inFlight: 0 });
    expect([(await chat(after)).status, (await chat(after)).status]).toEqual([200, 429]);
  });

  it("tells after a restart what was used of each model", async () => {
    await using dir = await dataDir();
    const env = { CODY_GATEWAY_DATA_DIR: dir.path, CODY_GATEWAY_ADMIN_TOKENS: adminTokens };
    const options = { actor: actor(100), env };
    for (const requests of [2n, 4n]) {
      await using gateway = await testGateway(options);
      for (let i = 0; i < 2; i++) expect((await chat(gateway)).status).toBe(200);
      const admin = adminOf(gateway);
      const ref = (await admin.listActors({})).actors[0]?.ref;
      await expect
        .poll(async () => (await admin.getUsage(ref ? { actor: ref } : {})).features[0]?.models)
        .toMatchObject([{ requests }]);
    }
  });

  it("has after a sudden end all that was answered, counted once", async () => {
    await using dir = await dataDir();
    await using fleet = await startFleet({
      actors: { acme: [{ limit: 100_000, per: "24h" }] },
      env: { CODY_GATEWAY_DATA_DIR: dir.path },
    });
    const [first] = fleet.gateways;
    let [asked, answered] = [0, 0];
    const caller = async (): Promise<void> => {
      for (;;) {
        asked++;
        const answer = await first?.chat("acme");
        if (answer?.status === 200) answered++;
      }
    };
    const callers = Array.from({ length: 8 }, () => caller().catch(() => undefined));
    await until(async () => answered >= 50);
    first?.signal("SIGKILL");
    await Promise.all([...callers, first?.ended]);

    const second = await fleet.start();
    const { used } = await usageOf(second, "acme");
    expect(used).toBeGreaterThanOrEqual(answered);
    expect(used).toBeLessThanOrEqual(asked);
    expect((await second.chat("acme")).status).toBe(200);
    expect((await usageOf(second, "acme")).used).toBe(used + 1);
  });
});

describe.runIf(mayMount)("a gateway whose data directory is full", () => {
  it("refuses what it cannot count, says so everywhere, and goes on by itself when there is room", async () => {
    await using disk = await smallDisk();
    const log = recordingLog();
    const env = { CODY_GATEWAY_DATA_DIR: disk.path };
    const options = { actor: actor(100_000), env, actors: [], log };
    const metric = async ({ url }: TestGateway): Promise<string | undefined> =>
      /^cody_gateway_quota_store_up (\d)$/m.exec(await (await fetch(`${url}/metrics`)).text())?.[1];
    let served = 0;
    {
      await using gw = await testGateway(options);
      expect((await chat(gw)).status).toBe(200);
      served++;
      expect([(await fetch(`${gw.url}/readyz`)).status, await metric(gw)]).toEqual([200, "1"]);

      await disk.fill();
      let answer = await chat(gw);
      for (; answer.status === 200; answer = await chat(gw)) served++;
      expect(answer.status).toBe(503);
      expect(answer.headers.get("retry-after")).toBe("1");
      expect(await answer.text()).toMatch(/quota store is unavailable/);
      expect((await fetch(`${gw.url}/livez`)).status).toBe(200);
      expect([(await fetch(`${gw.url}/readyz`)).status, await metric(gw)]).toEqual([503, "0"]);
      expect(log.lines).toContainEqual(
        expect.objectContaining({ level: "error", message: "data directory cannot be written" }),
      );

      await disk.free();
      await until(async () => (await fetch(`${gw.url}/readyz`)).status === 200);
      expect([(await chat(gw)).status, await metric(gw)]).toEqual([200, "1"]);
      served++;
      expect(log.lines).toContainEqual(
        expect.objectContaining({ level: "info", message: "data directory can be written again" }),
      );
      // What was refused is given back soon: then only what was served counts.
      await until(async () => {
        const { features } = await gw.client().limits.getLimits({});
        return features[0]?.rateLimit?.used === BigInt(served) && features[0]?.inFlight === 0;
      });
    }
    await disk.fill();
    await using again = await testGateway(options);
    const { features } = await again.client().limits.getLimits({});
    expect(features[0]?.rateLimit?.used).toBe(BigInt(served));
    await disk.free();
  });
});
