// wire.md 2.1, 7: what analytics are told of callers who were not let in, whichever way they came.

import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { CompleteRequestSchema } from "../../../gen/codygateway/v1/completions_pb.js";
import type { GatewayClient } from "../../../src/client.js";
import { type DemoBackEnds, startDemoBackEnds } from "../../../src/demo/back-ends.js";
import { demoToken, demoUuid } from "../../../src/demo/subscriptions.js";
import type { UsageEvent } from "../../../src/usage/event.js";
import { type TestGateway, testGateway } from "../../helpers/gateway.js";
import { metricOf } from "../../helpers/metric.js";
import { surfaces } from "../../helpers/surfaces.js";
import { bearer, type Wire, wireTo } from "../../helpers/wire.js";

const secret = "secret-of-the-diagnostics";
const portal = "dotcom-product-subscriptions";
const disabled = demoToken(demoUuid("disabled"));
const hammering = demoToken(demoUuid("hammering"));
const strange = `slk_${"a".repeat(64)}`;

let ends: DemoBackEnds;
let gw: TestGateway;
let wire: Wire;
beforeAll(async () => {
  ends = await startDemoBackEnds();
  ends.portal.set(["disabled", "hammering"].map((name) => ({ id: demoUuid(name), enabled: false })));
  gw = await testGateway({ env: { ...ends.env, CODY_GATEWAY_DIAGNOSTICS_SECRET: secret } });
  wire = wireTo(gw);
  const synced = await wire.send("GET /-/actor/sync-all-sources", [bearer(secret)]);
  if (synced.status !== 200) throw new Error(synced.body);
});
afterAll(async () => {
  await gw[Symbol.asyncDispose]();
  await ends.close();
});
beforeEach(() => gw.reset());

const refused = { outcome: "refused", feature: "none", charged: false, usage: {}, environment: "dev" };
const accessDisabled = {
  ...refused,
  actor: { source: portal, id: demoUuid("disabled") },
  reason: "ACCESS_DISABLED",
  denied: { why: "Cody Gateway access not enabled" },
};

type Sent = readonly [what: string, edge: UsageEvent["edge"], send: (token: string) => Promise<unknown>];

const overHttp = (line: string, edge: UsageEvent["edge"] = "sourcegraph", header = "Authorization: Bearer "): Sent => [
  line,
  edge,
  (token) => wire.send(line, [header + token]),
];
const overRpc = (what: string, call: (client: GatewayClient) => Promise<unknown>): Sent => [
  what,
  "rpc",
  (token) => call(gw.client({ token })).catch(() => undefined),
];
const completion = create(CompleteRequestSchema, {
  model: "openai/gpt-4o",
  input: { case: "prompt", value: { text: "hi" } },
});

const ways: readonly Sent[] = [
  ...surfaces.map(({ edge, path }) => overHttp(`POST ${path(false)}`, edge)),
  overHttp("GET /v1/limits"),
  overHttp("POST /v1/embeddings"),
  overHttp("GET /v1/embeddings/models"),
  overHttp("GET /openai/v1/models", "sdk"),
  overHttp("POST /anthropic/v1/messages", "sdk", "x-api-key: "),
  overRpc("Complete", (client) => client.completions.complete(completion)),
  overRpc("StreamComplete", async (client) => {
    for await (const _ of client.completions.streamComplete({ completion })) continue;
  }),
  overRpc("GetLimits", (client) => client.limits.getLimits({})),
  overRpc("Embed", (client) => client.embeddings.embed({ model: "openai/text-embedding-ada-002", inputs: ["hi"] })),
];

describe("an actor without access", () => {
  it.each(ways)("has an event by %s", async (_, edge, send) => {
    // A second test by the same edge may find that its event stands for several by now.
    const got = gw.event((event) => event.edge === edge);
    await send(disabled);
    expect(await got).toMatchObject({ ...accessDisabled, edge });
  });
});

describe("a token of nobody", () => {
  const everywhere: readonly Sent[] = [
    ...ways,
    overHttp("POST /v1/limits/refresh"),
    overHttp("POST /v1/attribution"),
    overRpc("RefreshLimits", (client) => client.limits.refreshLimits({})),
    overRpc("SearchAttribution", (client) => client.attribution.searchAttribution({ snippet: "x", limit: 1 })),
  ];

  it.each(everywhere)("has an event by %s", async (_, edge, send) => {
    const got = gw.event((event) => event.edge === edge && event.reason === "TOKEN_INVALID");
    await send(strange);
    expect(await got).toMatchObject({ ...refused, actor: { source: portal, id: "unknown" }, edge });
  });
});

describe("a token", () => {
  it("7 Unauthorized: of nobody has an event each time, with why, and nothing of itself", async () => {
    const nobody = `sgd_${"a".repeat(64)}`;
    const asked = `asked-${Date.now()}`;
    const replies = [];
    for (let time = 0; time < 3; time++)
      replies.push(await wire.send("GET /v1/limits", [bearer(nobody), `X-Request-ID: ${asked}`]));
    await expect.poll(() => gw.events.length).toBe(3);

    for (const event of gw.events)
      expect(event).toMatchObject({
        ...refused,
        actor: { source: "dotcom-user", id: "unknown" },
        reason: "TOKEN_INVALID",
        edge: "sourcegraph",
        denied: { why: JSON.parse(replies[0]?.body ?? "").error as string, times: 1 },
      });
    const traces = replies.map(({ headers }) => headers["x-trace"]);
    expect(gw.events.map(({ trace_id }) => trace_id)).toEqual(traces);
    expect(new Set(gw.events.map(({ id }) => id)).size).toBe(3);
    expect(JSON.stringify(gw.events)).not.toContain("a".repeat(8));
  });

  it("7 AccessDenied: that is missing has an event of the anonymous actor", async () => {
    await wire.send("GET /v1/limits");
    expect(await gw.event()).toMatchObject({
      ...refused,
      actor: { source: "anonymous", id: "anonymous" },
      reason: "TOKEN_MISSING",
      denied: { why: "Cody Gateway access not enabled", times: 1 },
    });
  });

  it("2.1 that is none, or of no source's form, has no event", async () => {
    await wire.send("GET /v1/limits", ["Authorization: nothing"]);
    await wire.send("GET /v1/limits", [bearer("nope-nope-nope-nope-nope")]);
    await wire.send("GET /v1/limits", [bearer(disabled)]);
    expect(await gw.event()).toMatchObject(accessDisabled);
    expect(gw.events.length).toBe(1);
  });

  it("2.1 has no event while its source cannot be asked", async () => {
    ends.portal.fail({ kind: "refuse" });
    try {
      const reply = await wire.send("GET /v1/limits", [bearer(`slk_${"b".repeat(64)}`)]);
      expect(reply.status).toBe(503);
    } finally {
      ends.portal.heal();
    }
    await wire.send("GET /v1/limits", [bearer(disabled)]);
    expect(await gw.event()).toMatchObject(accessDisabled);
    expect(gw.events.length).toBe(1);
  });
});

it("a flood is told of in few events, and not one request of it is left out", async () => {
  const series = 'cody_gateway_usage_events_joined_total{reason="ACCESS_DISABLED"}';
  const before = (await metricOf(gw, series)) || 0;
  const times = (): number => gw.events.reduce((all, { denied }) => all + (denied?.times ?? 0), 0);
  const sent = 300;
  for (let at = 0; at < sent; at += 20)
    await Promise.all(Array.from({ length: 20 }, () => wire.send("GET /v1/limits", [bearer(hammering)])));

  await expect.poll(times).toBe(sent);
  expect(gw.events.length).toBeLessThan(150);
  expect((await metricOf(gw, series)) - before).toBeGreaterThan(150);
});
