// The key of token hashes: before it is known, and when it is another one.

import { expect, it } from "vitest";
import { createAdminClient } from "../../src/client.js";
import { startDemoBackEnds } from "../../src/demo/back-ends.js";
import { demoSubscriptions, demoToken, demoUuid } from "../../src/demo/subscriptions.js";
import { dataDir } from "../helpers/data-dir.js";
import { testGateway } from "../helpers/gateway.js";
import { recordingLog } from "../helpers/log.js";
import { startRedis, until } from "../helpers/redis.js";

it("as long as it is not known, nothing is written under another one, and afterwards all tokens are known", async () => {
  await using redis = await startRedis();
  await using ends = await startDemoBackEnds();
  ends.portal.set(demoSubscriptions(3));
  const pepper = "cody-gateway:{actors}:kept:pepper";
  // It cannot be read from this, while everything else can be asked.
  await redis.client.lpush(pepper, "in the way");
  const log = recordingLog();
  const admin = { CODY_GATEWAY_DIAGNOSTICS_SECRET: "secret-of-the-diagnostics" };
  await using served = await testGateway({ env: { ...ends.env, ...admin, REDIS_ENDPOINT: redis.endpoint }, log });
  const ask = (path: string, token: string, body?: object) =>
    fetch(served.url + path, {
      method: body ? "POST" : "GET",
      headers: { authorization: `Bearer ${token}` },
      ...(body && { body: JSON.stringify(body) }),
    });
  const chat = { model: "gpt-4o", messages: [{ role: "user", content: "hello" }] };
  const customer = demoToken(demoUuid("1"));

  await until(async () => log.lines.some(({ message }) => /^sync (could not begin|succeeded)$/.test(message)));
  expect(await redis.client.exists("cody-gateway:{actors}:records:actors")).toBe(0);
  expect((await ask("/readyz", "")).status).toBe(503);
  expect((await ask("/openai/v1/chat/completions", customer, chat)).status).toBe(503);

  await redis.client.del(pepper);
  await until(async () => (await ask("/readyz", "")).status === 200);
  expect((await ask("/-/actor/sync-all-sources", "secret-of-the-diagnostics")).status).toBe(200);
  expect((await ask("/openai/v1/chat/completions", customer, chat)).status).toBe(200);
  // By hashes that the sync wrote, not because it was asked for.
  expect(ends.portal.calls.filter(({ method }) => method === "Get")).toEqual([]);
});

it("when it is another one after a restart, actors are listed at once, and operators told of revocations that are void", async () => {
  await using dir = await dataDir();
  await using ends = await startDemoBackEnds();
  ends.portal.set(demoSubscriptions(3));
  const operator = ends.sams.issue({ scopes: ["cody_gateway::actors::write"] });
  const listings = () => ends.portal.calls.filter(({ method }) => method === "List").length;
  const start = async (pepper: string) => {
    const log = recordingLog();
    const env = { ...ends.env, CODY_GATEWAY_DATA_DIR: dir.path, CODY_GATEWAY_TOKEN_PEPPER: pepper };
    const served = await testGateway({ env, log });
    const admin = createAdminClient({ baseUrl: served.url, token: operator, maxRetries: 0 });
    const told = () => log.lines.filter(({ message }) => message.startsWith("revocations refuse nobody"));
    return { served, admin, told };
  };

  const first = await start("one pepper, long enough for all");
  const accessToken = demoToken(demoUuid("1"));
  await first.admin.revokeToken({ token: { case: "accessToken", value: accessToken }, reason: "leaked" });
  await until(async () =>
    (await first.admin.listSources({})).sources.every(({ canSync, lastSync }) => !canSync || lastSync),
  );
  await first.served[Symbol.asyncDispose]();

  for (const [pepper, isOther] of [
    ["one pepper, long enough for all", false],
    ["quite another pepper than that one", true],
  ] as const) {
    ends.portal.clear();
    const { served, admin, told } = await start(pepper);
    expect(told().map(({ fields }) => fields)).toEqual(isOther ? [{ revocations: 1 }] : []);
    if (isOther) await ends.portal.waitFor(({ method }) => method === "List");
    const { sources } = await admin.listSources({});
    expect(sources.length).toBeGreaterThan(0);
    if (!isOther) expect(listings()).toBe(0);
    await served[Symbol.asyncDispose]();
  }
});
