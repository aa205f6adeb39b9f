// Actors of the Enterprise Portal and of Sourcegraph.com, from their back ends to the upstream.

import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, describe, expect, it } from "vitest";
import { createAdminClient, createGatewayClient } from "../../src/client.js";
import { type DemoBackEnds, demoSecrets, startDemoBackEnds } from "../../src/demo/back-ends.js";
import { userToken } from "../../src/demo/dotcom.js";
import type { Fault } from "../../src/demo/faults.js";
import { demoSubscriptions, demoToken, demoUuid } from "../../src/demo/subscriptions.js";
import { dataDir } from "../helpers/data-dir.js";
import { fakeClock } from "../helpers/fake-clock.js";
import { type TestGateway, type TestGatewayOptions, testGateway } from "../helpers/gateway.js";
import { recordingLog } from "../helpers/log.js";

const secret = "secret-of-the-diagnostics";
const hour = 3_600_000;
const open: AsyncDisposable[] = [];
afterEach(async () => {
  // The gateway first: it was started last.
  for (const each of open.splice(0).toReversed()) await each[Symbol.asyncDispose]();
});

interface Started {
  readonly ends: DemoBackEnds;
  readonly served: TestGateway;
  chat(token: string, model?: string): Promise<{ status: number; text: string; headers: Headers }>;
  post(path: string, token: string): Promise<{ status: number; text: string; headers: Headers }>;
  /** Runs a sync, or joins the one under way. */
  sync(): Promise<number>;
}

/** A gateway with three subscriptions and one user; `before` may change that before it starts. */
async function start(
  before: (ends: DemoBackEnds) => void = () => {},
  options: Omit<TestGatewayOptions, "env"> & { readonly env?: Readonly<Record<string, string>> } = {},
): Promise<Started> {
  const ends = await startDemoBackEnds();
  open.push(ends);
  ends.portal.set(demoSubscriptions(3));
  ends.dotcom.set({ id: 42, username: "ada" });
  before(ends);
  const env = { ...ends.env, CODY_GATEWAY_DIAGNOSTICS_SECRET: secret, ...options.env };
  const served = await testGateway({ ...options, env });
  open.push(served);
  const post = async (path: string, token: string, body?: object) => {
    const answer = await fetch(served.url + path, {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
      ...(body && { body: JSON.stringify(body) }),
    });
    return { status: answer.status, text: await answer.text(), headers: answer.headers };
  };
  return {
    ends,
    served,
    post,
    chat: (token, model = "gpt-4o") =>
      post("/openai/v1/chat/completions", token, { model, messages: [{ role: "user", content: "hello" }] }),
    async sync() {
      const headers = { authorization: `Bearer ${secret}` };
      const answer = await fetch(`${served.url}/-/actor/sync-all-sources`, { headers });
      await answer.arrayBuffer();
      return answer.status;
    },
  };
}

const customer = (index: number): string => demoToken(demoUuid(`${index}`));

describe("subscriptions of the Enterprise Portal", () => {
  it("are known from the first sync: nothing is asked for any of them", async () => {
    const { ends, served, chat, sync } = await start();
    expect(await sync()).toBe(200);

    const { status, headers } = await chat(customer(1));

    expect(status).toBe(200);
    expect(headers.get("x-ratelimit-limit")).toBe("500");
    expect(ends.portal.calls.filter(({ method }) => method === "Get")).toEqual([]);
    expect(await served.event()).toMatchObject({
      actor: { id: demoUuid("1"), source: "dotcom-product-subscriptions" },
      outcome: "completed",
    });
  });

  it("are looked up by their token until they are listed", async () => {
    const { ends, chat, sync } = await start();
    await sync();
    ends.portal.set({ id: demoUuid("new"), chat: [1, 86_400] });

    expect((await chat(demoToken(demoUuid("new")))).status).toBe(200);
    expect((await chat(demoToken(demoUuid("new")).replace("slk_", "sgs_"))).status).toBe(429);
    expect(ends.portal.calls.filter(({ method }) => method === "Get")).toHaveLength(1);
  });

  it("follow what is changed there, from the next sync on", async () => {
    const { ends, chat, sync } = await start();
    await sync();
    ends.portal.set({ id: demoUuid("0"), enabled: false });
    ends.portal.set({ id: demoUuid("1"), chat: undefined });
    ends.portal.remove(demoUuid("2"));
    await sync();

    expect(await chat(customer(0))).toMatchObject({ status: 403 });
    expect(await chat(customer(1))).toMatchObject({ status: 403 });
    expect(await chat(customer(2))).toMatchObject({ status: 401 });
    ends.portal.set(demoSubscriptions(3));
    await sync();
    for (const index of [0, 1, 2]) expect((await chat(customer(index))).status).toBe(200);
  });

  it("have what the portal tells as soon as they ask for it, over HTTP and RPC, but not again within the cool-down", async () => {
    const clock = fakeClock();
    const { ends, served, chat, post, sync } = await start(undefined, { clock });
    await sync();
    const rpc = createGatewayClient({ baseUrl: served.url, token: customer(0), maxRetries: 0 });
    const limitOf = async (): Promise<string | null> => (await chat(customer(0))).headers.get("x-ratelimit-limit");
    ends.portal.set({ id: demoUuid("0"), chat: [20, 86_400] });

    // The sync told of it just now.
    expect(await post("/v1/limits/refresh", customer(0))).toMatchObject({
      status: 429,
      text: expect.stringMatching(/^\{"error":"actor was recently updated - try again in (10m0s|9m\d+s)"/) as string,
    });
    await expect(rpc.limits.refreshLimits({})).rejects.toMatchObject({ code: Code.FailedPrecondition });
    expect(await limitOf()).toBe("500");

    await clock.advanceMs(601_000);
    expect(await post("/v1/limits/refresh", customer(0))).toMatchObject({ status: 200, text: "" });
    expect(await limitOf()).toBe("20");

    ends.portal.set({ id: demoUuid("0"), chat: [40, 86_400] });
    expect((await post("/v1/limits/refresh", customer(0))).status).toBe(429);
    await clock.advanceMs(601_000);
    const { features } = await rpc.limits.refreshLimits({});
    expect(features[0]?.rateLimit?.limit).toBe(40n);
    expect(await limitOf()).toBe("40");
  });

  it("keep their tokens when the pepper is another one after a restart", async () => {
    await using dir = await dataDir();
    const ends = await startDemoBackEnds();
    open.push(ends);
    ends.portal.set(demoSubscriptions(3));
    const call = ({ url }: TestGateway, path: string, token: string, body?: string) =>
      fetch(url + path, { method: "POST", headers: { authorization: `Bearer ${token}` }, ...(body && { body }) });
    const chat = JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content: "hello" }] });

    for (const pepper of ["one pepper, long enough for all", "quite another pepper than that one"]) {
      const env = { CODY_GATEWAY_DIAGNOSTICS_SECRET: secret, CODY_GATEWAY_DATA_DIR: dir.path };
      await using served = await testGateway({ env: { ...ends.env, ...env, CODY_GATEWAY_TOKEN_PEPPER: pepper } });
      expect((await call(served, "/-/actor/sync-all-sources", secret)).status).toBe(200);
      ends.portal.clear();

      for (const index of [0, 1, 2])
        expect((await call(served, "/openai/v1/chat/completions", customer(index), chat)).status).toBe(200);
      // By hashes that the sync made anew, not because each was asked for.
      expect(ends.portal.calls).toEqual([]);
    }
  });

  it("are nobody's who has no token of theirs, in words that clients know", async () => {
    const { post } = await start();

    expect(await post("/v1/completions/openai", demoToken("nobody"))).toMatchObject({
      status: 401,
      text: expect.stringContaining(
        '"dotcom-product-subscriptions: failed to validate access token: access token denied: associated product subscription not found"',
      ) as string,
    });
  });
});

describe("users of Sourcegraph.com", () => {
  it("have the limits and models that it tells, one set for all tokens", async () => {
    const clock = fakeClock();
    const { ends, served, chat } = await start(
      ({ dotcom }) => {
        const chatLimit = { limit: "3", intervalSeconds: 86_400, allowedModels: ["openai/gpt-4o"] };
        dotcom.set({ id: 42, username: "ada", tokens: [userToken(42), userToken(42, 1)], chat: chatLimit });
      },
      { clock },
    );

    expect((await chat(userToken(42))).status).toBe(200);
    expect((await chat(userToken(42, 1))).status).toBe(200);
    expect((await chat(userToken(42), "gpt-4")).status).toBe(400);
    // Two are the most in ten seconds.
    await clock.advanceMs(10_000);
    expect((await chat(userToken(42))).status).toBe(200);
    expect((await chat(userToken(42, 1))).status).toBe(429);
    expect(await served.event()).toMatchObject({ actor: { id: "42", source: "dotcom-user" } });
    expect(ends.dotcom.calls.length).toBeLessThanOrEqual(3);
  });

  it("are refused when they are banned, and when they are nobody", async () => {
    const { post, chat } = await start(({ dotcom }) =>
      dotcom.set({ id: 7, username: "eve", chat: { limit: 1, intervalSeconds: 86_400, allowedModels: ["*"] } }),
    );

    expect((await chat(userToken(7))).status).toBe(403);
    expect(await post("/v1/completions/openai", userToken(1))).toMatchObject({
      status: 401,
      text: expect.stringContaining(
        "dotcom-user: failed to validate access token: access token denied: associated dotcom user not found",
      ) as string,
    });
  });

  it("begin anew when their plan changes the interval, once they ask for it outside of the cool-down", async () => {
    const clock = fakeClock();
    const { ends, chat, post } = await start(
      ({ dotcom }) =>
        dotcom.set({ id: 42, username: "ada", chat: { limit: 2, intervalSeconds: 2_592_000, allowedModels: ["*"] } }),
      { clock },
    );
    for (const expected of [200, 200, 429]) expect((await chat(userToken(42))).status).toBe(expected);
    ends.dotcom.set({ id: 42, username: "ada", chat: { limit: 2, intervalSeconds: 86_400, allowedModels: ["*"] } });

    const tooSoon = await post("/v1/limits/refresh", userToken(42));
    expect(tooSoon).toMatchObject({
      status: 429,
      text: expect.stringMatching(/recently updated - try again in \d+m\d+s/) as string,
    });
    await clock.advanceMs(301_000);
    expect(await post("/v1/limits/refresh", userToken(42))).toMatchObject({ status: 200, text: "" });
    expect((await chat(userToken(42))).status).toBe(200);
  });
});

describe("while the Enterprise Portal and Sourcegraph.com cannot say", () => {
  /** Whoever is known is served, and of nobody else it is said who that is. */
  async function expectOutage({ chat }: Started, why: string, unknown: readonly string[]): Promise<void> {
    const known = [customer(0), customer(1), customer(2), userToken(42)];
    for (const token of known) expect((await chat(token)).status, why).toBe(200);
    for (const { status, text, headers } of await Promise.all(unknown.map((token) => chat(token)))) {
      expect(status, why).toBe(503);
      expect(Number(headers.get("retry-after")), why).toBeGreaterThan(0);
      expect(text, why).not.toMatch(/127\.0\.0\.1|ECONN|HTTP|Portal|Sourcegraph\.com|at \w+ \(/);
    }
  }

  it("for whatever reason, known actors are served, and nobody else", async () => {
    const started = await start();
    const { ends, chat, sync } = started;
    await sync();
    expect((await chat(userToken(42))).status).toBe(200);
    const faults: readonly Fault[] = [
      { kind: "refuse" },
      { kind: "no-handshake" },
      { kind: "status", status: 500 },
      { kind: "status", status: 403 },
      { kind: "status", status: 302, headers: { location: "http://127.0.0.1:9/" } },
      { kind: "garbage" },
      { kind: "cut" },
    ];

    for (const [at, fault] of faults.entries()) {
      const why = JSON.stringify(fault);
      for (const end of [ends.portal, ends.dotcom]) end.fail(fault);
      expect(await sync(), why).toBe(500);
      await expectOutage(started, why, [demoToken(`unknown ${at}`), userToken(100 + at)]);
      for (const end of [ends.portal, ends.dotcom]) end.heal();
      expect(await sync(), why).toBe(200);
    }
    // Others than those that were not answered are asked for at once, unless the sources are left alone for a moment.
    ends.portal.set({ id: demoUuid("new"), tokens: [demoToken("new")] });
    await expect.poll(async () => (await chat(demoToken("new"))).status).toBe(200);
    await expect.poll(async () => (await chat(userToken(200))).status).toBe(401);
  });

  it("because they hang, it is the same, and nobody waits longer than five seconds", async () => {
    const started = await start();
    const { ends, chat, sync } = started;
    await sync();
    expect((await chat(userToken(42))).status).toBe(200);
    for (const end of [ends.portal, ends.dotcom]) end.fail({ kind: "hang" });

    await expectOutage(started, "hang", [demoToken("unknown"), userToken(43)]);
  });

  it("because the accounts service is away, it is the same", async () => {
    const { ends, chat, sync } = await start();
    await sync();
    ends.sams.revoke();
    ends.sams.fail({ kind: "status", status: 503 });

    expect((await chat(customer(0))).status).toBe(200);
    expect((await chat(demoToken("new"))).status).toBe(503);
  });

  it("a gateway starts, is ready, and admits nobody until they can", async () => {
    const { ends, served, chat, sync } = await start(({ portal }) => portal.fail({ kind: "refuse" }));

    expect((await fetch(`${served.url}/readyz`)).status).toBe(200);
    expect((await chat(customer(0))).status).toBe(503);
    ends.portal.heal();
    await expect.poll(sync).toBe(200);
    expect((await chat(customer(0))).status).toBe(200);
  });

  it("it is told after a restart when they last could", async () => {
    await using dir = await dataDir();
    const clock = fakeClock();
    const ends = await startDemoBackEnds();
    open.push(ends);
    const admin = { CODY_GATEWAY_DIAGNOSTICS_SECRET: secret, CODY_GATEWAY_DATA_DIR: dir.path };
    const operator = ends.sams.issue({ scopes: ["cody_gateway::actors::read"], expiresAt: Number.MAX_VALUE });
    const startedAt = clock.now();
    for (const start of ["first", "second"]) {
      await using served = await testGateway({ env: { ...ends.env, ...admin }, clock });
      const { url } = served;
      if (start === "first")
        await fetch(`${url}/-/actor/sync-all-sources`, { headers: { authorization: `Bearer ${secret}` } });
      const { sources } = await createAdminClient({ baseUrl: url, token: operator, maxRetries: 0 }).listSources({});
      const { lastSuccessTime } = sources.find(({ name }) => name === "dotcom-product-subscriptions") ?? {};

      expect(lastSuccessTime && timestampMs(lastSuccessTime), start).toBe(startedAt);
      await clock.advanceMs(60_000);
    }
  });

  it("for longer than a day, known actors are served for that day, and again when they are back", async () => {
    const clock = fakeClock();
    const { ends, chat, sync } = await start(undefined, { clock });
    await sync();
    expect((await chat(userToken(42))).status).toBe(200);
    for (const end of [ends.portal, ends.dotcom]) end.fail({ kind: "status", status: 500 });

    for (let passed = 0; passed < 23; passed++) {
      await clock.advanceMs(hour);
      expect((await chat(customer(passed % 3))).status).toBe(200);
    }
    expect((await chat(userToken(42))).status).toBe(200);
    await clock.advanceMs(2 * hour);
    const { status, headers } = await chat(customer(0));
    expect(status).toBe(503);
    expect(Number(headers.get("retry-after"))).toBeGreaterThan(0);
    expect((await chat(userToken(42))).status).toBe(503);

    for (const end of [ends.portal, ends.dotcom]) end.heal();
    await expect.poll(sync).toBe(200);
    expect((await chat(customer(0))).status).toBe(200);
  });
});

it("holders of a SAMS token with a scope of administration may administer, and others may not", async () => {
  const { ends, served } = await start();
  const list = (token: string) =>
    createAdminClient({ baseUrl: served.url, token, maxRetries: 0 })
      .listSources({})
      .then(
        ({ sources }) => sources.map(({ name }) => name),
        (error: unknown) => Code[ConnectError.from(error).code],
      );
  const operator = ends.sams.issue({ scopes: ["cody_gateway::actors::write"], username: "ada" });

  expect(await list(operator)).toEqual(expect.arrayContaining(["dotcom-product-subscriptions", "dotcom-user"]));
  expect(await list(ends.sams.issue({ scopes: ["enterprise_portal::codyaccess::read"] }))).toBe("PermissionDenied");
  expect(await list("sams_at_of_nobody")).toBe("Unauthenticated");
  expect(await list(customer(0))).toBe("Unauthenticated");
  ends.sams.fail({ kind: "status", status: 500 });
  expect(await list("sams_at_of_somebody_else")).toBe("Unavailable");
});

it("no token and no secret is told in logs, metrics or answers", async () => {
  const log = recordingLog();
  const { ends, served, chat, sync } = await start(undefined, { log });
  await sync();
  const canaries = [customer(0), demoToken("nobody"), userToken(42), userToken(7), ...Object.values(demoSecrets)];
  const answers: string[] = [];
  const tryAll = async (): Promise<void> => {
    for (const token of canaries) answers.push((await chat(token)).text);
  };
  await tryAll();
  for (const end of [ends.portal, ends.dotcom, ends.sams])
    for (const fault of [{ kind: "refuse" }, { kind: "garbage", bytes: canaries.join(" ") }] as const) {
      end.fail(fault);
      await tryAll();
      await sync();
      end.heal();
    }
  const metrics = await (await fetch(`${served.url}/metrics`)).text();
  const told = [metrics, ...answers, ...log.lines.map((line) => inspectAll(line))].join("\n");

  expect(log.lines.length).toBeGreaterThan(5);
  for (const canary of canaries) expect(told).not.toContain(canary.slice(8));
});

/** With everything in it, errors and their causes too. */
function inspectAll(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) =>
    each instanceof Error
      ? { ...(each as object), message: each.message, stack: each.stack, cause: each.cause }
      : typeof each === "bigint"
        ? String(each)
        : each,
  );
}
