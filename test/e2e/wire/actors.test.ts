// wire.md 2 (authentication), 3 (actors and sources), 13 (what collaborators are asked).

import { hash } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type DemoBackEnds, demoSecrets, startDemoBackEnds } from "../../../src/demo/back-ends.js";
import { userToken } from "../../../src/demo/dotcom.js";
import { demoToken, demoUuid } from "../../../src/demo/subscriptions.js";
import { type TestGateway, testGateway } from "../../helpers/gateway.js";
import { bearer, marker, type Wire, wireTo } from "../../helpers/wire.js";

const licenseKey = "eyJzaWciOiJ4In0=";
const licensed = `slk_${hash("sha256", licenseKey, "hex")}`;
const secret = "secret-of-the-diagnostics";
const day = 86_400;

let aheadMs = 0;
const clock = { now: () => Date.now() + aheadMs };
let ends: DemoBackEnds;
let gw: TestGateway;
let anonymous: TestGateway;
let wire: Wire;
beforeAll(async () => {
  ends = await startDemoBackEnds();
  ends.portal.set([
    { id: demoUuid("known") },
    { id: demoUuid("licensed"), tokens: [licensed] },
    { id: demoUuid("disabled"), enabled: false },
    { id: demoUuid("nameless"), name: "" },
  ]);
  const models = ["anthropic/claude-3-haiku-20240307", "openai/gpt-4o"];
  ends.dotcom.set([
    { id: 42, username: "ada", tokens: [userToken(42), userToken(42, 1)] },
    { id: 43, username: "bob", enabled: false },
    { id: 44, username: "eve", chat: { limit: 1, intervalSeconds: day, allowedModels: models } },
    { id: 45, username: "max", chat: { limit: "20", intervalSeconds: day, allowedModels: models } },
  ]);
  [gw, anonymous] = await Promise.all([
    testGateway({
      clock,
      env: {
        ...ends.env,
        CODY_GATEWAY_ENVIRONMENT: "prod",
        CODY_GATEWAY_DOTCOM_CLIENT_ID: "client-of-the-gateway",
        CODY_GATEWAY_DIAGNOSTICS_SECRET: secret,
      },
    }),
    testGateway({ env: { CODY_GATEWAY_ALLOW_ANONYMOUS: "true" } }),
  ]);
  wire = wireTo(gw);
  const synced = await wire.send("GET /-/actor/sync-all-sources", [bearer(secret)]);
  if (synced.status !== 200) throw new Error(synced.body);
});
afterAll(async () => {
  await Promise.all([gw[Symbol.asyncDispose](), anonymous[Symbol.asyncDispose]()]);
  await ends.close();
});

// Sources are asked a few times a second at most.
beforeEach(() => {
  aheadMs += 10_000;
});

const limitsWith = (...headers: string[]) => wire.send("GET /v1/limits", headers);
const chatAs = (token: string, content: string, model = "gpt-4o") =>
  wire.send("POST /v1/completions/openai", [bearer(token), "X-Sourcegraph-Feature: chat_completions"], {
    model,
    messages: [{ role: "user", content }],
  });
const known = demoToken(demoUuid("known"));
const denied = "failed to validate access token: access token denied: associated";

describe("2 authentication", () => {
  it.each([
    ["a header without a space", "Authorization: slk_x", 400, "token type missing in Authorization header"],
    ["another scheme", "Authorization: token slk_x", 400, "invalid token type token"],
    ["no header", "X-Other: x", 401, "Cody Gateway access not enabled"],
    ["no source's prefix", "Authorization: Bearer nope", 401, "token not from source: no source found for token"],
    [
      "the right prefix and a wrong length",
      "Authorization: Bearer slk_abc",
      401,
      "token not from source: no source found for token",
    ],
    [
      "a license nobody has",
      `Authorization: Bearer slk_${"a".repeat(64)}`,
      401,
      `dotcom-product-subscriptions: ${denied} product subscription not found`,
    ],
    [
      "a user nobody is",
      `Authorization: Bearer sgd_${"a".repeat(64)}`,
      401,
      `dotcom-user: ${denied} dotcom user not found`,
    ],
    ["an actor without access", bearer(demoToken(demoUuid("disabled"))), 403, "Cody Gateway access not enabled"],
  ])("2.1 %s is told so, each time", async (_name, header, status, error) => {
    for (let time = 0; time < 2; time++) {
      const reply = await limitsWith(header);
      expect([reply.status, JSON.parse(reply.body)]).toEqual([status, { error }]);
    }
  });

  it("2.1 the scheme's capitals do not matter", async () => {
    for (const scheme of ["bearer", "BEARER", "Bearer"])
      expect((await limitsWith(`Authorization: ${scheme} ${known}`)).status).toBe(200);
  });

  it("2.1 without a token, where that is allowed, one is anonymous", async () => {
    const reply = await wireTo(anonymous).send("GET /v1/limits");
    expect(JSON.parse(reply.body)).toMatchObject({
      chat_completions: {
        limit: 50,
        interval: "24h0m0s",
        allowedModels: expect.arrayContaining(["anthropic/claude-2.1"]) as string[],
      },
      code_completions: { limit: 1000 },
    });
  });

  it("2.2 the token of a licence key is its hash; `sgs_` is an older spelling, and capitals do not matter", async () => {
    const tokens = [licensed, licensed.replace("slk_", "sgs_"), `slk_${licensed.slice(4).toUpperCase()}`];
    for (const token of tokens) {
      const text = marker();
      await chatAs(token, text);
      expect(wire.seen(text)?.endUser).toBe(`${demoUuid("licensed")}:`);
    }
  });

  it.each(["sgp_", "sgph_"])("2.2 %s tokens are not accepted", async (prefix) => {
    expect((await limitsWith(`Authorization: Bearer ${prefix}${"a".repeat(40)}`)).status).toBe(401);
  });
});

describe("3 actors and sources", () => {
  it("3.4 a subscription's id is its bare UUID, its models are all", async () => {
    const text = marker();
    await chatAs(known, text);
    expect(wire.seen(text)?.endUser).toBe(`${demoUuid("known")}:`);
    const event = await gw.event(({ actor }) => actor.id === demoUuid("known"));
    expect(event.actor).toEqual({ id: demoUuid("known"), source: "dotcom-product-subscriptions" });
  });

  it("3.4 known subscriptions are served while the portal is away, others are told to come again", async () => {
    ends.portal.fail({ kind: "refuse" });
    try {
      expect((await limitsWith(bearer(known))).status).toBe(200);
      const reply = await limitsWith(bearer(demoToken("unheard of")));
      expect(reply.status).toBe(503);
      expect(Number(reply.headers["retry-after"])).toBeGreaterThan(0);
      expect(reply.body).not.toMatch(/127\.0\.0\.1|ECONN|portal\./);
    } finally {
      ends.portal.heal();
    }
  });

  it("3.5 a user's id is the decimal one, tokens of one user share limits, models are the user's own", async () => {
    const text = marker();
    expect((await chatAs(userToken(45), text)).status).toBe(200);
    expect(wire.seen(text)?.endUser).toBe("45:");
    expect((await chatAs(userToken(45), "hi", "gpt-4-turbo")).status).toBe(400);
    expect(JSON.parse((await limitsWith(bearer(userToken(45)))).body)).toMatchObject({
      chat_completions: { limit: 20, usage: 1, allowedModels: ["anthropic/claude-3-haiku-20240307", "openai/gpt-4o"] },
    });

    aheadMs += 10_000;
    await chatAs(userToken(42), "hi");
    await chatAs(userToken(42, 1), "hi");
    for (const token of [userToken(42), userToken(42, 1)])
      expect(JSON.parse((await limitsWith(bearer(token))).body)).toMatchObject({ chat_completions: { usage: 2 } });
  });

  it("3.5 users without access, and those with a limit of 1, have none", async () => {
    for (const id of [43, 44]) expect((await limitsWith(bearer(userToken(id)))).status).toBe(403);
  });

  it("3.6 a sync takes over what has changed and who has gone", async () => {
    ends.portal.set({ id: demoUuid("nameless"), chat: [7, day] });
    ends.portal.remove(demoUuid("licensed"));
    expect((await wire.send("POST /-/actor/sync-all-sources", [bearer(secret)], "")).status).toBe(200);
    const { body } = await limitsWith(bearer(demoToken(demoUuid("nameless"))));
    expect(JSON.parse(body)).toMatchObject({ chat_completions: { limit: 7 } });
    expect((await limitsWith(bearer(licensed))).status).toBe(401);
    ends.portal.set({ id: demoUuid("licensed"), tokens: [licensed] });
  });
});

describe("13 collaborators", () => {
  it("13.1, 2.4 the portal is asked over gRPC with a token of SAMS", async () => {
    await limitsWith(bearer(demoToken("for the portal")));
    const { protocol, authorization = "", userAgent } = ends.portal.calls.at(-1) ?? {};
    expect([protocol, userAgent]).toEqual(["grpc", "Cody-Gateway/prod 0.0.0-test"]);
    const token = authorization.replace("Bearer ", "");
    expect(ends.sams.scopesOf(token)).toEqual([
      "enterprise_portal::codyaccess::read",
      "enterprise_portal::subscription::read",
    ]);
  });

  it("13.1 limits of any size are read", async () => {
    ends.portal.set({ id: demoUuid("huge"), embeddings: [9_007_199_254_740_991n, 30 * day] });
    const { body } = await limitsWith(bearer(demoToken(demoUuid("huge"))));
    expect(body).toContain('"embeddings":{"limit":9007199254740991,"interval":"720h0m0s"');
  });

  it("13.3 Sourcegraph.com is asked with its own headers, the operation's name in the query", async () => {
    const asked = `sgd_${"b".repeat(64)}`;
    await limitsWith(bearer(asked));
    // Users who are known may be asked about beside it.
    const call = ends.dotcom.calls.find(({ variables }) => variables["token"] === asked);
    const { operation, variables, headers } = call ?? {};
    expect([operation, variables]).toEqual(["CheckDotcomUserAccessToken", { token: asked }]);
    expect(headers).toMatchObject({
      authorization: `token ${demoSecrets.CODY_GATEWAY_DOTCOM_ACCESS_TOKEN}`,
      "user-agent": "Cody-Gateway/prod 0.0.0-test",
      "x-sourcegraph-client-id": "client-of-the-gateway",
    });
  });
});
