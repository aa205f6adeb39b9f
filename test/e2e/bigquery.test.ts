// A gateway whose usage events go to BigQuery: with the variables of the existing gateway, through all that can go wrong there.

import { afterEach, expect, it } from "vitest";
import { loadConfig } from "../../src/config.js";
import { type Gateway, startGateway } from "../../src/gateway.js";
import { bigQuerySchema } from "../../src/usage/sinks/bigquery-table.js";
import { type FakeBigQuery, type Fault, fakeBigQuery, refuse, send } from "../helpers/bigquery.js";
import { recordingLog } from "../helpers/log.js";
import { until } from "../helpers/redis.js";
import { testUpstream } from "../helpers/upstream.js";

const token = "test-token-of-the-acme-actor";
const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each[Symbol.asyncDispose]();
});

async function start(limit: number, env: (bigQuery: FakeBigQuery) => Readonly<Record<string, string>>) {
  const bigQuery = await fakeBigQuery(bigQuerySchema);
  const upstream = await testUpstream();
  const limits = { chat_completions: [{ limit, per: "24h" }] };
  const actor = { id: "acme", tokens: [{ ref: "env:ACME_TOKEN" }], limits };
  const files: Record<string, string> = {
    "/gateway.json": JSON.stringify({ actors: [actor] }),
    "/key.json": bigQuery.keyFile,
  };
  const loaded = loadConfig(
    {
      CODY_GATEWAY_HOST: "127.0.0.1",
      PORT: "0",
      CODY_GATEWAY_CONFIG: "/gateway.json",
      ACME_TOKEN: token,
      OPENAI_API_KEY: "key",
      CODY_GATEWAY_OPENAI_BASE_URL: `${upstream.url}/v1`,
      CODY_GATEWAY_OPENAI_ALLOWED_MODELS: "demo-*",
      CODY_GATEWAY_DRAIN_DELAY: "0s",
      ...env(bigQuery),
    },
    (path) => files[path] ?? "",
  );
  if ("problems" in loaded) throw new Error(JSON.stringify(loaded.problems));
  const log = recordingLog();
  const ledger = { batchMs: 5, retryMs: 5, maxRetryMs: 50 };
  const gateway: Gateway = await startGateway(loaded.config, { log, version: "0.0.0-test", ledger });
  open.push(bigQuery, upstream, { [Symbol.asyncDispose]: async () => void (await gateway.drain({ timeoutMs: 0 })) });
  const ask = async (): Promise<number> => {
    const answer = await fetch(`${gateway.url}/v1/completions/openai`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${token}`,
        "x-sourcegraph-feature": "chat_completions",
        "x-sourcegraph-actor-uid": "42",
      },
      body: JSON.stringify({ model: "demo-chat", messages: [{ role: "user", content: "hi" }] }),
    });
    await answer.arrayBuffer();
    return answer.status;
  };
  return { bigQuery, log, ask, notices: loaded.config.notices };
}

it("writes to the table of the existing gateway when a project is all that is set, in words that its queries know", async () => {
  const { bigQuery, ask, notices } = await start(2, ({ url }) => ({
    GOOGLE_CLOUD_PROJECT: "project",
    GOOGLE_APPLICATION_CREDENTIALS: "/key.json",
    BIGQUERY_EMULATOR_HOST: url,
  }));
  expect(notices.join()).toContain("usage events go to BigQuery (project.cody_gateway.events)");

  const statuses = [await ask(), await ask(), await ask()];
  await until(async () => bigQuery.rows().length >= 3);

  expect(statuses).toEqual([200, 200, 429]);
  expect(bigQuery.inserts[0]?.userAgent).toBe("Cody-Gateway/dev 0.0.0-test");
  const rows = bigQuery.rows().map(({ json }) => json);
  expect(rows.map(({ name }) => name)).toEqual(["CompletionsFinished", "CompletionsFinished", "RateLimited"]);
  expect(rows[0]).toMatchObject({ name: "CompletionsFinished", source: "static", identifier: "acme" });
  const metadata = rows.map((row) => JSON.parse(String(row["metadata"])) as Record<string, unknown>);
  expect(metadata[0]).toMatchObject({
    event_id: bigQuery.rows()[0]?.insertId,
    feature: "chat_completions",
    model: "openai/demo-chat",
    provider: "openai",
    stream: false,
    upstream_status_code: 200,
    resolved_status_code: 200,
    prompt_token_count: expect.any(Number) as number,
    completion_token_count: expect.any(Number) as number,
    sg_actor_id: "42",
    event: { outcome: "completed", charged: true },
  });
  expect(metadata[2]).toMatchObject({ feature: "chat_completions", error: "QUOTA_EXCEEDED", cause: "quota" });
  expect(metadata.flatMap((each) => Object.values(each))).not.toContain(null);
});

it("has every request in BigQuery once, or parked, whatever goes wrong there", async () => {
  const { bigQuery, log, ask } = await start(1_000, ({ url, host }) => ({
    CODY_GATEWAY_EVENTS_SINKS: "bigquery",
    CODY_GATEWAY_BIGQUERY_PROJECT_ID: "project",
    GCE_METADATA_HOST: host,
    BIGQUERY_EMULATOR_HOST: url,
  }));
  const stored: Fault = (res, insert) => {
    // The rows are there, and the answer is lost.
    bigQuery.take(undefined, insert);
    res.destroy();
  };
  const faults: (Fault | undefined)[] = [
    (res) => refuse(res, 500, "internalError"),
    stored,
    undefined,
    (res) => refuse(res, 429, "rateLimitExceeded"),
    (res) => void res.end("<html>"),
    (res) => refuse(res, 401, "authError"),
    undefined,
    (res, { rows }) =>
      send(res, 200, { insertErrors: rows.map((_, index) => ({ index, errors: [{ reason: "timeout" }] })) }),
  ];
  let turn = 0;
  bigQuery.fail((res, insert) => {
    const fault = turn < 5 * faults.length ? faults[turn++ % faults.length] : undefined;
    if (fault) fault(res, insert);
    else bigQuery.take(res, insert);
  });
  // One of a hundred, whenever it comes. Others come after the last of them: a sink that takes nothing else is away.
  const seen = new Set<string>();
  const bad = new Set<string>();
  bigQuery.refuse(({ insertId }) => {
    if (!seen.has(insertId) && seen.add(insertId).size % 100 === 50) bad.add(insertId);
    return bad.has(insertId) ? "no such field: x." : undefined;
  });

  const requests = 300;
  for (let i = 0; i < requests; i += 20) await Promise.all(Array.from({ length: 20 }, () => ask()));
  const parked = () => log.lines.filter(({ message }) => message.includes("refused by its sink for good"));
  await until(async () => bigQuery.rows().length + parked().length >= requests);

  expect(bad.size).toBe(3);
  expect(parked()).toHaveLength(3);
  expect(bigQuery.rows()).toHaveLength(requests - 3);
  const ids = parked().map(({ fields }) => (fields as { event: { id: string } }).event.id);
  expect(new Set(ids)).toEqual(bad);
  const all = JSON.stringify(log.lines, (_, value: unknown) =>
    value instanceof Error ? [value.message, value.stack, ...Object.values(value)] : value,
  );
  expect(all).toContain("BigQuery answered 500 internalError");
  for (const secret of bigQuery.secrets()) expect(all).not.toContain(secret);
});
