// A gateway that starts while Redis is away knows nothing of what operators set.

import { expect, it } from "vitest";
import { createAdminClient } from "../../src/client.js";
import { startDemoBackEnds } from "../../src/demo/back-ends.js";
import { demoSubscriptions, demoToken, demoUuid } from "../../src/demo/subscriptions.js";
import { type TestGateway, testGateway } from "../helpers/gateway.js";
import { startDurableRedis, until } from "../helpers/redis.js";

it("it asks no source for anybody before it knows whose token is revoked", async () => {
  await using redis = await startDurableRedis();
  await using ends = await startDemoBackEnds();
  ends.portal.set(demoSubscriptions(3));
  const env = {
    ...ends.env,
    REDIS_ENDPOINT: redis.endpoint,
    CODY_GATEWAY_TOKEN_PEPPER: "a pepper that need not be asked for",
    // Limits are no reason to refuse them.
    CODY_GATEWAY_QUOTA_STORE_FAILURE: "allow:5",
  };
  const chat = async ({ url }: TestGateway, index: number): Promise<number> => {
    const headers = { authorization: `Bearer ${demoToken(demoUuid(String(index)))}` };
    const body = JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content: "hello" }] });
    const { status, body: answer } = await fetch(`${url}/openai/v1/chat/completions`, {
      method: "POST",
      headers,
      body,
    });
    await answer?.cancel();
    return status;
  };
  {
    await using before = await testGateway({ env });
    const token = ends.sams.issue({ scopes: ["cody_gateway::actors::write"] });
    const admin = createAdminClient({ baseUrl: before.url, token, maxRetries: 0 });
    await until(async () => (await fetch(`${before.url}/readyz`)).status === 200);
    await admin.revokeToken({ token: { case: "accessToken", value: demoToken(demoUuid("1")) }, reason: "leaked" });
    expect([await chat(before, 0), await chat(before, 1)]).toEqual([200, 401]);
  }
  await redis.stop();
  ends.portal.clear();

  await using served = await testGateway({ env });
  expect([await chat(served, 0), await chat(served, 1)]).toEqual([503, 503]);
  expect(ends.portal.calls).toEqual([]);

  await redis.start();
  await until(async () => (await fetch(`${served.url}/readyz`)).status === 200);
  expect([await chat(served, 0), await chat(served, 1)]).toEqual([200, 401]);
});
