// How long stores take, as /metrics tell of it.

import { describe, expect, it } from "vitest";
import { dataDir } from "../helpers/data-dir.js";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";
import { metricOf } from "../helpers/metric.js";
import { startRedis, until } from "../helpers/redis.js";

const limited = { limits: { chat_completions: [{ limit: 1_000, per: "24h" }] } };

async function ask({ url }: TestGateway): Promise<number> {
  const answer = await fetch(`${url}/openai/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content: "hello" }] }),
  });
  await answer.text();
  return answer.status;
}

/** What the histogram of a store says of an operation that ended so. */
function timesOf(gateway: TestGateway, store: "quota_store" | "actor_store", operation: string, outcome: string) {
  const name = `cody_gateway_${store}_duration_seconds`;
  const labels = `operation="${operation}",outcome="${outcome}"`;
  return {
    count: () => metricOf(gateway, `${name}_count{${labels}}`),
    seconds: () => metricOf(gateway, `${name}_sum{${labels}}`),
    within: (seconds: number) => metricOf(gateway, `${name}_bucket{${labels},le="${seconds}"}`),
  };
}

describe("with Redis", () => {
  it("calls are timed by operation, and those that ran into the timeout took all of it", async () => {
    await using redis = await startRedis();
    await using gateway = await testGateway({
      actor: limited,
      env: { REDIS_ENDPOINT: redis.endpoint, CODY_GATEWAY_REDIS_TIMEOUT: "500ms" },
    });
    await until(async () => (await fetch(`${gateway.url}/readyz`)).status === 200);
    await until(async () => (await ask(gateway)) === 200);

    for (const operation of ["reserve", "commit"]) {
      const answered = timesOf(gateway, "quota_store", operation, "ok");
      expect(await answered.count()).toBeGreaterThanOrEqual(1);
      expect(await answered.seconds()).toBeGreaterThan(0);
    }
    // The pepper of tokens is shared by way of it.
    await until(async () => (await timesOf(gateway, "actor_store", "keep", "ok").count()) >= 1);

    const inVain = timesOf(gateway, "quota_store", "reserve", "unavailable");
    const [countBefore, secondsBefore] = [(await inVain.count()) || 0, (await inVain.seconds()) || 0];
    const quickBefore = (await inVain.within(0.25)) || 0;
    redis.freeze();
    expect(await ask(gateway)).toBe(503);
    expect(await inVain.count()).toBe(countBefore + 1);
    // A timer may be early by a part of a millisecond.
    expect((await inVain.seconds()) - secondsBefore).toBeGreaterThan(0.498);
    expect(await inVain.within(0.25)).toBe(quickBefore);

    redis.thaw();
    const answeredBefore = await timesOf(gateway, "quota_store", "reserve", "ok").count();
    await until(async () => (await ask(gateway)) === 200);
    expect(await timesOf(gateway, "quota_store", "reserve", "ok").count()).toBeGreaterThan(answeredBefore);
  });
});

describe.each(["memory", "a data directory"])("with limits in %s", (place) => {
  it("calls are timed by operation", async () => {
    await using dir = await dataDir();
    const env: Record<string, string> = place === "memory" ? {} : { CODY_GATEWAY_DATA_DIR: dir.path };
    await using gateway = await testGateway({ actor: limited, env });
    expect([await ask(gateway), await ask(gateway)]).toEqual([200, 200]);

    for (const operation of ["reserve", "commit"]) {
      const answered = timesOf(gateway, "quota_store", operation, "ok");
      expect(await answered.count()).toBe(2);
      expect(await answered.seconds()).toBeGreaterThan(0);
    }
    expect(await timesOf(gateway, "quota_store", "reserve", "unavailable").count()).toBeNaN();
  });
});
