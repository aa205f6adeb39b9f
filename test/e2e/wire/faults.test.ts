// wire.md 15: the known faults of the existing gateway, each shown not to be there. 24 (limits of an actor's users) and 32
// (limits applied twice, by instance and gateway) are not about one gateway's requests; what is elsewhere stands at its number.

import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type DemoBackEnds, startDemoBackEnds } from "../../../src/demo/back-ends.js";
import { type DotcomLimit, userToken } from "../../../src/demo/dotcom.js";
import { demoSubscriptions, demoToken, demoUuid } from "../../../src/demo/subscriptions.js";
import { freePort } from "../../helpers/free-port.js";
import { type TestGateway, testGateway } from "../../helpers/gateway.js";
import { recordingLog } from "../../helpers/log.js";
import { head, rawConnect } from "../../helpers/raw-http.js";
import { bearer, marker, type Wire, wireTo } from "../../helpers/wire.js";

const secret = "secret-of-the-diagnostics";
const day = 86_400;
const chatFeature = "X-Sourcegraph-Feature: chat_completions";
const openai = "/v1/completions/openai";
const chat = (content: string, more: object = {}) => ({
  model: "gpt-4o",
  messages: [{ role: "user", content }],
  ...more,
});
const monthly: DotcomLimit = { limit: 20, intervalSeconds: 30 * day, allowedModels: ["openai/gpt-4o"] };

let aheadMs = 0;
const clock = { now: () => Date.now() + aheadMs };
const log = recordingLog();
let ends: DemoBackEnds;
let gw: TestGateway;
let narrow: TestGateway;
let wire: Wire;
beforeAll(async () => {
  ends = await startDemoBackEnds({ pages: true, maxPageSize: 5 });
  ends.portal.set(demoSubscriptions(12));
  ends.portal.set([
    { id: demoUuid("three"), chat: [3, day] },
    { id: demoUuid("two"), chat: [2, day] },
  ]);
  ends.dotcom.set([
    { id: 42, username: "ada", chat: monthly },
    { id: 43, username: "bob", chat: monthly },
  ]);
  const refusing = `http://127.0.0.1:${await freePort()}`;
  [gw, narrow] = await Promise.all([
    testGateway({
      clock,
      log,
      actors: [
        {
          id: "five",
          tokens: [{ ref: "env:FIVE_TOKEN" }],
          limits: { chat_completions: [{ limit: 5, per: "24h" }] },
          models: { chat_completions: ["gpt-4o", "claude-2.0"] },
        },
      ],
      file: { flagging: { "*": { blocked: ["forbidden phrase"], blocking: true } } },
      env: { ...ends.env, CODY_GATEWAY_DIAGNOSTICS_SECRET: secret, FIVE_TOKEN: five },
    }),
    testGateway({
      env: {
        CODY_GATEWAY_GOOGLE_BASE_URL: refusing,
        CODY_GATEWAY_MAX_BODY_BYTES: "65536",
        CODY_GATEWAY_UPSTREAM_TOTAL_TIMEOUT: "2s",
      },
    }),
  ]);
  wire = wireTo(gw);
  expect((await sync()).status).toBe(200);
});
afterAll(async () => {
  await Promise.all([gw[Symbol.asyncDispose](), narrow[Symbol.asyncDispose]()]);
  await ends.close();
});
// Sources are asked a few times a second at most.
beforeEach(() => {
  aheadMs += 10_000;
});

const five = "token-of-the-actor-of-five";
const sync = () => wire.send("GET /-/actor/sync-all-sources", [bearer(secret)]);
const chatAs = (token: string, body: object = chat("hi")) =>
  wire.send(`POST ${openai}`, [bearer(token), chatFeature], body);
const usageOf = async (token: string): Promise<unknown> => {
  const { body } = await wire.send("GET /v1/limits", [bearer(token)]);
  return (JSON.parse(body) as { chat_completions?: { usage: number } }).chat_completions?.usage;
};
const subscription = (index: number): string => demoToken(demoUuid(String(index)));

describe("15 security", () => {
  it("15.1 Google's key is in no URL, and a failed connection tells neither key nor address", async () => {
    const body = { model: "gemini-1.5-flash", contents: [{ role: "user", parts: [{ text: "hi" }] }] };
    const reply = await wireTo(narrow).ask("/v1/completions/google", body);
    expect([reply.status, JSON.parse(reply.body)]).toEqual([
      502,
      { error: "failed to make request to upstream provider google" },
    ]);
    const text = marker();
    await wire.ask("/v1/completions/google", { ...body, contents: [{ role: "user", parts: [{ text }] }] });
    expect(wire.seen(text)?.path).not.toContain("key");
  });

  it("15.2 an unknown licence token opens nothing, however often it comes", async () => {
    const token = `slk_${"d".repeat(64)}`;
    for (let time = 0; time < 3; time++)
      expect((await wire.send("POST /v1/attribution", [bearer(token)], "{}")).status).not.toBe(200);
    for (let time = 0; time < 2; time++) expect((await wire.send("GET /v1/limits", [bearer(token)])).status).toBe(401);
  });

  it("15.3 unknown tokens are not in the log. At rest: test/redis/canary.test.ts", async () => {
    const token = `slk_${"e".repeat(64)}`;
    await wire.send("GET /v1/limits", [bearer(token)]);
    await wire.send("GET /v1/limits", [bearer("a-token-of-nobody-at-all")]);
    expect(JSON.stringify(log.lines)).not.toMatch(/e{64}|a-token-of-nobody/);
  });

  it("15.4 of the provider's headers only harmless ones pass", async () => {
    const { status, headers } = await wire.ask(openai, chat("[[headers]]"));
    expect(status).toBe(200);
    const own =
      /^(connection|keep-alive|date|transfer-encoding|content-length|x-request-id|x-trace|x-trace-span|x-cody-resolved-model)$/;
    const passed = Object.keys(headers).filter((name) => !own.test(name));
    const harmless =
      /^(content-(type|encoding|language)|cache-control|retry-after|request-id|openai-(processing-ms|version))$/;
    expect(passed.filter((name) => !harmless.test(name))).toEqual([]);
  });

  it("15.5 what goes wrong at a source stays there", async () => {
    ends.dotcom.distort(() => ({ errors: [{ message: "pq: relation users at 10.1.2.3 does not exist" }] }));
    try {
      const reply = await wire.send("GET /v1/limits", [bearer(`sgd_${"f".repeat(64)}`)]);
      expect([reply.status, JSON.parse(reply.body)]).toEqual([503, { error: "the token's source cannot be asked" }]);
    } finally {
      ends.dotcom.distort(undefined);
    }
  });

  it("15.6 secrets of any length are refused alike. No KEYS: configuration.test.ts", async () => {
    for (const shown of ["x", secret.slice(1), `${secret}${secret}`, secret.toUpperCase()])
      expect((await wire.send("GET /-/healthz", [bearer(shown)])).status).toBe(401);
  });

  it("15.7 an actor's list of models stays as it was told, whatever was asked with it", async () => {
    await chatAs(five);
    await wire.send("POST /v1/completions/anthropic-messages", [bearer(five), chatFeature], {
      ...chat("hi", { model: "claude-2.0", max_tokens: 5 }),
    });
    const { body } = await wire.send("GET /v1/limits", [bearer(five)]);
    expect(JSON.parse(body)).toMatchObject({ chat_completions: { allowedModels: ["gpt-4o", "claude-2.0"] } });
  });
  // 15.8: traces.test.ts
});

describe("15 availability", () => {
  it("15.9 a source's outage takes no known actor's access, its errors overwrite nothing", async () => {
    expect((await wire.send("GET /v1/limits", [bearer(userToken(43))])).status).toBe(200);
    ends.dotcom.fail({ kind: "status", status: 500 });
    ends.portal.fail({ kind: "refuse" });
    try {
      aheadMs += 3_600_000;
      for (let time = 0; time < 3; time++) {
        expect((await wire.send("GET /v1/limits", [bearer(userToken(43))])).status).toBe(200);
        expect((await wire.send("GET /v1/limits", [bearer(subscription(1))])).status).toBe(200);
        expect((await sync()).status).toBe(500);
      }
    } finally {
      ends.dotcom.heal();
      ends.portal.heal();
    }
  });

  it("15.10 a token of a wrong length is 401, on which nobody tries again", async () => {
    for (const token of ["slk_abc", `slk_${"a".repeat(65)}`, `sgd_${"a".repeat(63)}`])
      expect((await wire.send("GET /v1/limits", [bearer(token)])).status).toBe(401);
  });

  it("15.11 one failure does not make a model unavailable", async () => {
    expect((await wire.ask(openai, chat("[[status=500]]"))).status).toBe(500);
    expect((await wire.ask(openai, chat("[[status=429]]"))).status).toBe(503);
    expect((await wire.ask(openai, chat("hi"))).status).toBe(200);
  });

  it("15.12 a provider that is busy is not asked again and again", async () => {
    for (const status of [429, 500, 503]) {
      const text = marker();
      await wire.ask(openai, chat(`${text} [[status=${status}]]`));
      expect(gw.upstream.calls.filter(({ body }) => body.toString().includes(text))).toHaveLength(1);
    }
  });

  it("15.13 X-Timeout-Ms has an upper bound", async () => {
    const reply = await wireTo(narrow).ask(openai, chat("[[delay=30000]]"), ["X-Timeout-Ms: 999999999999"]);
    expect(reply.status).toBe(504);
  });

  it("15.14 a system message without content, and a candidate without parts, are no harm", async () => {
    const messages = [
      { role: "system", content: [] },
      { role: "user", content: "hi" },
    ];
    const body = { model: "claude-3-haiku-20240307", max_tokens: 5, messages };
    expect((await wire.ask("/v1/completions/anthropic-messages", body)).status).toBe(200);

    const text = marker();
    const arrived = gw.upstream.waitFor(({ body: seen }) => seen.toString().includes(text));
    const contents = [{ role: "user", parts: [{ text: `${text} [[hold]]` }] }];
    const asked = wire.ask("/v1/completions/google", { model: "gemini-1.5-flash", contents, stream: true });
    const call = await arrived;
    await call.send(`data: {"candidates":[{"finishReason":"SAFETY"}],"usageMetadata":{"promptTokenCount":3}}\n\n`);
    call.end();
    const reply = await asked;
    expect([reply.status, reply.body.includes('"finishReason":"SAFETY"')]).toEqual([200, true]);
  });

  it("15.15 bodies have a limit", async () => {
    const reply = await wireTo(narrow).ask(openai, chat("x".repeat(70_000)));
    expect(reply.status).toBe(413);
  });
  // 15.16: pipeline.test.ts, 1.3.19
});

describe("15 accounting", () => {
  it("15.17 a limit holds under concurrency", async () => {
    const before = Number(await usageOf(five));
    const replies = await Promise.all(Array.from({ length: 20 }, () => chatAs(five)));
    expect(replies.filter(({ status }) => status === 200)).toHaveLength(5 - before);
    expect(await usageOf(five)).toBe(5);
  });

  it("15.18 small limits can be used", async () => {
    const token = demoToken(demoUuid("three"));
    const statuses: number[] = [];
    for (let time = 0; time < 4; time++) {
      // Out of the short window.
      aheadMs += 20_000;
      statuses.push((await chatAs(token)).status);
    }
    expect(statuses).toEqual([200, 200, 200, 429]);
  });

  it("15.19 a user's usage outlives a day of idleness and an outage, and begins anew with another interval", async () => {
    const token = userToken(42);
    await chatAs(token);
    aheadMs += 25 * 3_600_000;
    expect(await usageOf(token)).toBe(1);
    ends.dotcom.fail({ kind: "refuse" }, { times: 1 });
    await wire.send("POST /v1/limits/refresh", [bearer(token)], "");
    ends.dotcom.heal();
    aheadMs += 3_600_000;
    expect(await usageOf(token)).toBe(1);

    ends.dotcom.set({ id: 42, username: "ada", chat: { ...monthly, intervalSeconds: day } });
    // Out of the cool-down.
    aheadMs += 301_000;
    expect((await wire.send("POST /v1/limits/refresh", [bearer(token)], "")).status).toBe(200);
    expect(await usageOf(token)).toBe(0);
  });

  it.each([
    ["before the answer begins is free", false],
    ["after it has begun is charged", true],
  ])("15.20 leaving %s", async (_name, begun) => {
    const token = subscription(begun ? 2 : 3);
    const text = marker();
    const body = JSON.stringify(chat(`${text} [[hold]]`, { stream: true }));
    const arrived = gw.upstream.waitFor(({ body: seen }) => seen.toString().includes(text));
    const connection = await rawConnect(gw.gateway.port);
    const uid = marker();
    const headers = [bearer(token), chatFeature, `X-Sourcegraph-Actor-UID: ${uid}`, `Content-Length: ${body.length}`];
    connection.send(head(`POST ${openai} HTTP/1.1`, headers, body));
    const call = await arrived;
    if (begun) {
      await call.begin();
      await call.say("some words");
      while (!connection.received.includes("some words"))
        await new Promise((resolve) => connection.socket.once("data", resolve));
    }
    connection.destroy();
    await call.aborted;
    const event = await gw.event(({ endUser }) => endUser?.id === uid);
    expect(event).toMatchObject({ outcome: "client_gone", charged: begun });
    expect(await usageOf(token)).toBe(begun ? 1 : 0);
  });
  // 15.21, 15.22: events.test.ts; 15.23: limits.test.ts; 15.24: ../user-limits.test.ts
});

describe("15 operations", () => {
  it("15.25 an empty listing wipes nothing, listings come in pages, and a sync at hand is joined", async () => {
    ends.portal.clear();
    expect((await sync()).status).toBe(200);
    expect(ends.portal.calls.filter(({ method }) => method === "List").length).toBeGreaterThan(2);

    ends.portal.distort((page) => {
      page.accesses = [];
      page.nextPageToken = "";
    });
    try {
      const reply = await sync();
      expect([reply.status, reply.body.includes('"msg":"sync held"')]).toEqual([200, true]);
    } finally {
      ends.portal.distort(undefined);
    }
    for (const index of [0, 5, 11]) expect((await chatAs(subscription(index))).status).toBe(200);
  });

  it("15.26 the time at which a window ends is told alike in /v1/limits and in a refusal", async () => {
    const token = demoToken(demoUuid("two"));
    for (let time = 0; time < 2; time++) expect((await chatAs(token)).status).toBe(200);
    const { body } = await wire.send("GET /v1/limits", [bearer(token)]);
    const { expiry } = (JSON.parse(body) as { chat_completions: { expiry: string } }).chat_completions;
    const refused = await chatAs(token);
    expect(refused.body).toContain(`Retry after ${expiry.replace("T", " ").replace("Z", " +0000 UTC")}`);
  });

  it("15.27 prompts for Fireworks are checked as well", async () => {
    const body = { model: "starcoder", prompt: "a forbidden phrase" };
    const reply = await wire.ask("/v1/completions/fireworks", body, ["X-Sourcegraph-Feature: code_completions"]);
    expect(reply.status).toBe(400);
    expect(reply.body).toMatch(/We blocked your request/);
  });

  it("15.28 a model of tomorrow needs no release", async () => {
    const reply = await wire.ask(openai, chat("hi", { model: "gpt-4-of-tomorrow" }));
    expect([reply.status, reply.headers["x-cody-resolved-model"]]).toEqual([200, "openai/gpt-4-of-tomorrow"]);
  });

  it("15.30 one API serves all providers", async () => {
    const headers = [bearer(), "Content-Type: application/json", "Connect-Protocol-Version: 1"];
    for (const model of ["anthropic/claude-3-haiku-20240307", "openai/gpt-4o", "google/gemini-1.5-flash"]) {
      const body = { model, chat: { messages: [{ role: "ROLE_USER", parts: [{ text: "hi" }] }] } };
      const reply = await wire.send("POST /codygateway.v1.CompletionsService/Complete", headers, body);
      expect([reply.status, (JSON.parse(reply.body) as { model: string }).model]).toEqual([200, model]);
    }
  });

  it("15.31 errors in JSON say so, and retry-after is whole seconds", async () => {
    const invalid = await wire.ask(openai, "{");
    expect(invalid.headers["content-type"]).toBe("application/json");
    const token = demoToken(demoUuid("two"));
    for (let time = 0; time < 2; time++) await chatAs(token);
    const refused = await chatAs(token);
    expect([refused.status, /^\d+$/.test(refused.headers["retry-after"] ?? "")]).toEqual([429, true]);
  });
});
