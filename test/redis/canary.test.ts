// No token, key or prompt is anywhere at rest or in what is told to operators: one gateway is shown many of each, in every way
// there is, and then everything it left behind is searched.

import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { Code, ConnectError } from "@connectrpc/connect";
import { request } from "undici";
import { expect, it } from "vitest";
import { Feature } from "../../gen/codygateway/v1/common_pb.js";
import { type DemoBackEnds, demoSecrets, startDemoBackEnds } from "../../src/demo/back-ends.js";
import { userToken } from "../../src/demo/dotcom.js";
import { demoToken, demoUuid } from "../../src/demo/subscriptions.js";
import { adminOf, adminTokens, operatorToken, viewerToken } from "../helpers/admin.js";
import { dataDir } from "../helpers/data-dir.js";
import { type Fleet, type GatewayProcess, startFleet, tokenOf } from "../helpers/processes.js";
import { type RedisServer, startDurableRedis, startMonitor, until } from "../helpers/redis.js";
import { startTraceReceiver, type TraceReceiver } from "../helpers/trace-receiver.js";

const diagnostics = "canary-secret-of-the-diagnostics";
const prompt = "canary-prompt-about-a-merger";
const customer = demoToken(demoUuid("customer"));
const revoked = demoToken(demoUuid("revoked"));
const unsynced = demoToken(demoUuid("unsynced"));
const user = userToken(42);
const stranger = `slk_${"0123456789abcdef".repeat(4)}`;
const forbidden = `sgd_${"fedcba9876543210".repeat(4)}`;
const malformed = "canary-of-no-form-at-all-1234567890";
const upstreamKey = "canary-key-of-the-provider";
const sealingKey = createHash("sha256").update("canary-key-of-flagged-prompts").digest("hex");

/** What must not be found, and what each is. */
const secrets = {
  "static actor's token": tokenOf("acme"),
  "customer's token": customer,
  "revoked token": revoked,
  "token that was looked up": unsynced,
  "user's token": user,
  "token of nobody": stranger,
  "user's token of nobody": forbidden,
  "token without a form": malformed,
  "operator's token": operatorToken,
  "viewer's token": viewerToken,
  "diagnostics secret": diagnostics,
  "provider's key": upstreamKey,
  "key of flagged prompts": sealingKey,
  "SAMS client secret": demoSecrets.SAMS_CLIENT_SECRET,
  "token towards Sourcegraph.com": demoSecrets.CODY_GATEWAY_DOTCOM_ACCESS_TOKEN,
  prompt,
} as const;

/** The same, with what the accounts service gave the gateway. */
function allSecrets(ends: DemoBackEnds): Readonly<Record<string, string>> {
  const granted = new Set(ends.portal.calls.map(({ authorization }) => authorization?.replace(/^Bearer /, "") ?? ""));
  expect(granted.size).toBe(1);
  return { ...secrets, "token towards the portal": [...granted][0] ?? "" };
}

/** A secret in the forms in which it could be written down. */
function formsOf(secret: string): readonly string[] {
  const bytes = Buffer.from(secret);
  const digest = createHash("sha256").update(secret).digest();
  // The random part of a token gives it away as well.
  const plain = /^(slk|sgd|sgp|cga)_/.test(secret) ? secret.slice(4) : secret;
  return [
    plain,
    bytes.toString("hex"),
    ...["base64", "base64url"].map((form) => bytes.toString(form as "base64url").slice(0, -4)),
    digest.toString("hex"),
    digest.toString("base64url"),
  ];
}

interface Left {
  readonly where: string;
  readonly text: string;
}

async function exercise(gateway: GatewayProcess, ends: DemoBackEnds): Promise<readonly Left[]> {
  const answers: Left[] = [];
  const say = (where: string, text: string): void => void answers.push({ where, text });

  async function post(path: string, headers: Record<string, string>, body: string): Promise<number> {
    const answer = await request(gateway.url + path, { method: "POST", headers, body });
    const text = await answer.body.text();
    // An answer may be about the prompt: it is for who asked.
    if (answer.statusCode !== 200)
      say(`answer of ${path.split("?")[0]} with ${answer.statusCode}`, JSON.stringify(answer.headers) + text);
    return answer.statusCode;
  }
  const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });
  const chat = (token: string, more: object = {}) =>
    post(
      "/openai/v1/chat/completions",
      bearer(token),
      JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content: prompt }], ...more }),
    );

  // Sources are asked some times a second: 503 says to come again.
  const becomes = (token: string, status: number): Promise<void> => until(async () => (await chat(token)) === status);

  // Those who are known, found, refused, revoked, nobody; and in every header that could hold a token.
  for (const token of [tokenOf("acme"), customer, user, revoked, unsynced]) await becomes(token, 200);
  expect(await chat(tokenOf("acme"), { stream: true })).toBe(200);
  expect(await chat(tokenOf("small"))).toBe(200);
  expect(await chat(tokenOf("small"))).toBe(429);
  for (const token of [stranger, forbidden, malformed, operatorToken, diagnostics]) await becomes(token, 401);
  await chat(customer, { model: "gpt-none" });
  const body = JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content: prompt }] });
  const places: Record<string, string>[] = [
    { authorization: `token ${customer}` },
    { authorization: customer },
    { authorization: `Basic ${Buffer.from(`x:${customer}`).toString("base64")}` },
    { "x-api-key": customer },
    { "x-goog-api-key": stranger },
    { "api-key": malformed },
    { ...bearer(customer), "x-api-key": stranger },
  ];
  for (const headers of places) await post("/openai/v1/chat/completions", headers, body);
  for (const path of [
    `/v1/${stranger}`,
    `/v1beta/models/gemini-x:generateContent?key=${customer}`,
    `/openai/v1/${customer}?token=${stranger}`,
  ])
    await post(path, bearer(customer), body);
  // What cannot be read.
  for (const text of [
    `{"model": "${prompt}`,
    `{"model":"gpt-4o","messages":"${prompt}"}`,
    JSON.stringify({ model: prompt }),
  ])
    await post("/openai/v1/chat/completions", bearer(customer), text);
  await post("/v1/limits/refresh", bearer(customer), "");
  await post("/v1/limits/refresh", bearer(stranger), "");
  say("RefreshLimits", await told(gateway.client("acme", { token: user }).limits.refreshLimits({})));

  // Operators name tokens by what they are.
  const admin = adminOf(gateway);
  const query = (accessToken: string) => ({ case: "accessToken", value: accessToken }) as const;
  for (const accessToken of [customer, stranger, malformed]) {
    say("GetActor", await told(admin.getActor({ query: query(accessToken) })));
    say("RefreshActor", await told(admin.refreshActor({ query: query(accessToken), reason: "canary" })));
    const caller = query(accessToken);
    say(
      "ExplainAccess",
      await told(admin.explainAccess({ caller, feature: Feature.CHAT_COMPLETIONS, model: "openai/gpt-4o" })),
    );
  }
  say("RevokeToken", await told(admin.revokeToken({ token: query(revoked), reason: "canary" })));
  await becomes(revoked, 401);
  say("LiftRevocation", await told(admin.liftRevocation({ token: query(stranger), reason: "canary" })));
  say("ListActors", await told(admin.listActors({})));
  say("ListAuditEntries", await told(admin.listAuditEntries({})));
  for (const wrong of [malformed, customer, viewerToken])
    say(
      "RevokeToken by another",
      await told(adminOf(gateway, wrong).revokeToken({ token: query(stranger), reason: "x" })),
    );

  // Flagged prompts are for those who may read them, and for nobody else.
  let key = "";
  await until(async () => {
    const { requests } = await admin.listFlaggedRequests({});
    key = requests.find(({ actor }) => actor?.id === "acme")?.key ?? "";
    return key !== "";
  });
  expect(await admin.getFlaggedRequest({ key, reason: "canary" })).toMatchObject({ prompt });
  say("ListFlaggedRequests", await told(admin.listFlaggedRequests({})));
  const read = adminOf(gateway, viewerToken).getFlaggedRequest({ key, reason: "canary" });
  say("GetFlaggedRequest by another", await told(read));
  say("ListAuditEntries, after that", await told(admin.listAuditEntries({})));

  // Back ends that repeat what they were asked, and fail.
  const granted = ends.portal.calls.at(-1)?.authorization ?? "";
  expect(granted).toMatch(/^Bearer ./);
  const repeating = `nothing known of ${stranger} for ${granted}, (${granted.slice(7)})`;
  ends.portal.failWith(new ConnectError(repeating, Code.Internal));
  expect(await chat(`slk_${"a".repeat(64)}`)).toBe(503);
  expect(await post("/-/actor/sync-all-sources", bearer(diagnostics), "")).toBe(500);
  say("ListSources", await told(admin.listSources({})));
  ends.portal.failWith(undefined);
  for (const path of ["/metrics", "/readyz", "/livez", "/-/healthz", "/-/__version"])
    say(path, (await gateway.get(path)).body);
  return answers;
}

/** What a call was answered, or how it failed, in full. */
async function told(call: Promise<object>): Promise<string> {
  const text = (value: unknown): string =>
    JSON.stringify(value, (_, each: unknown) => (typeof each === "bigint" ? String(each) : each));
  return call.then(text, (error: unknown) => {
    const { rawMessage, details, metadata } = ConnectError.from(error);
    return text({ rawMessage, details, metadata: [...metadata] });
  });
}

async function gatewayWith(
  ends: DemoBackEnds,
  receiver: TraceReceiver,
  env: Readonly<Record<string, string>>,
  redis?: string,
): Promise<Fleet> {
  ends.portal.set([{ id: demoUuid("customer") }, { id: demoUuid("revoked") }]);
  ends.dotcom.set({ id: 42, username: "ada" });
  return startFleet({
    ...(redis !== undefined && { redis }),
    actors: { acme: [], small: [{ limit: 1, per: "1h" }] },
    env: {
      ...ends.env,
      OPENAI_API_KEY: upstreamKey,
      CODY_GATEWAY_LOG_LEVEL: "debug",
      CODY_GATEWAY_DIAGNOSTICS_SECRET: diagnostics,
      CODY_GATEWAY_ADMIN_TOKENS: adminTokens,
      CODY_GATEWAY_TOKEN_PEPPER: "",
      CODY_GATEWAY_ALLOW_ANONYMOUS: "true",
      // Every prompt is flagged and kept.
      CODY_GATEWAY_ANTHROPIC_BLOCKED_PROMPT_PATTERNS: "prompt-about",
      CODY_GATEWAY_FLAGGED_PROMPTS_KEYS: `first:${sealingKey}`,
      CODY_GATEWAY_FLAGGED_PROMPTS_SOURCES: "static,dotcom-user",
      CODY_GATEWAY_SOURCES_SYNC_INTERVAL: "60m",
      CODY_GATEWAY_REDIS_TIMEOUT: "5s",
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
      OTEL_BSP_SCHEDULE_DELAY: "100",
      OTEL_BSP_MAX_QUEUE_SIZE: "100000",
      ...env,
    },
  });
}

/** Runs everything, ends the gateway, and returns what it left besides its store. */
async function run(fleet: Fleet, ends: DemoBackEnds, receiver: TraceReceiver): Promise<readonly Left[]> {
  const [gateway] = fleet.gateways as [GatewayProcess];
  await until(async () => ((await gateway.metric("cody_gateway_actors_known")) ?? 0) >= 2);
  ends.portal.set([{ id: demoUuid("unsynced") }]);
  const answers = await exercise(gateway, ends);
  // What is searched holds what should be there.
  await until(async () => gateway.log.includes('"level":"debug"'));
  let events = "";
  await until(async () => {
    events = JSON.stringify(await fleet.events());
    return [demoUuid("customer"), "failed to validate access token"].every((text) => events.includes(text));
  });
  const traces = (): string => Buffer.concat(receiver.calls.map(({ bytes }) => bytes)).toString("latin1");
  await until(async () => ["TOKEN_INVALID", "chat gpt-4o", "source.lookup"].every((text) => traces().includes(text)));
  return [
    ...answers,
    { where: "log", text: gateway.log },
    { where: "events", text: events },
    { where: "traces", text: traces() },
  ];
}

/** Fails with what was found where. */
function expectNoSecret(left: readonly Left[], ends: DemoBackEnds): void {
  const found = left.flatMap(({ where, text }) =>
    Object.entries(allSecrets(ends)).flatMap(([name, secret]) =>
      formsOf(secret).some((form) => text.includes(form)) ? [`${name} in ${where}`] : [],
    ),
  );
  expect([...new Set(found)]).toEqual([]);
}

it("leaves no secret in Redis, in what is sent to it, its append-only file, logs, metrics, events, traces or answers", async () => {
  await using redis = await startDurableRedis();
  await using monitor = await startMonitor(redis);
  await using ends = await startDemoBackEnds();
  await using receiver = await startTraceReceiver();
  await using fleet = await gatewayWith(ends, receiver, {}, redis.endpoint);
  const left = await run(fleet, ends, receiver);
  const stored = await everythingIn(redis);
  const commands = monitor.commands.map((words) => words.join(" ")).join("\n");

  expect(commands).toContain(demoUuid("unsynced"));
  expect(stored).toContain(demoUuid("customer"));
  expect(stored).toContain("{flagged}:prompt:");
  const where = { AOF: await appendOnlyFile(redis), "keys of Redis": stored, "commands to Redis": commands };
  expect(where.AOF).toContain(demoUuid("customer"));
  expectNoSecret([...left, ...Object.entries(where).map(([name, text]) => ({ where: name, text }))], ends);
});

it("leaves no secret in the data directory", async () => {
  await using dir = await dataDir();
  await using ends = await startDemoBackEnds();
  await using receiver = await startTraceReceiver();
  await using fleet = await gatewayWith(ends, receiver, { CODY_GATEWAY_DATA_DIR: dir.path });
  const left = await run(fleet, ends, receiver);
  const files = await textsIn(dir.path);

  expect(files.map(({ text }) => text).join("")).toContain(demoUuid("customer"));
  expectNoSecret([...left, ...files], ends);
});

async function everythingIn({ client }: RedisServer): Promise<string> {
  const keys = await client.keys("*");
  const values = await Promise.all(
    keys.map(async (key) => {
      const type = await client.type(key);
      if (type === "string") return client.get(key);
      if (type === "hash") return client.hgetall(key);
      if (type === "zset") return client.zrange(key, "0", "-1");
      if (type === "set") return client.smembers(key);
      if (type === "list") return client.lrange(key, 0, -1);
      return client.xrange(key, "-", "+");
    }),
  );
  return JSON.stringify([keys, values]).replaceAll("\\", "");
}

async function appendOnlyFile({ client }: RedisServer): Promise<string> {
  const [, folder = ""] = await client.config("GET", "dir");
  return (await textsIn(join(folder, "appendonlydir"))).map(({ text }) => text).join("\n");
}

async function textsIn(folder: string): Promise<readonly Left[]> {
  const files = await readdir(folder);
  return Promise.all(files.map(async (file) => ({ where: file, text: await readFile(join(folder, file), "latin1") })));
}
