// Administration as operators have it: through the generated client, judged by what actors then get.

import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  ActivityOutcome,
  ActorAdminService,
  type WatchActivityResponse,
} from "../../gen/codygateway/v1/actor_admin_pb.js";
import { ErrorReason, Feature, Unit } from "../../gen/codygateway/v1/common_pb.js";
import { createAdminClient } from "../../src/client.js";
import { type DemoBackEnds, startDemoBackEnds } from "../../src/demo/back-ends.js";
import { adminOf, adminTokens, operatorToken, viewerToken } from "../helpers/admin.js";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";

const actor = { source: "static", id: "acme" };
const day = { seconds: 86_400n };
const reason = "a test";

let gateway: TestGateway;
let backEnds: DemoBackEnds;
beforeAll(async () => {
  backEnds = await startDemoBackEnds();
  const { SAMS_URL = "", SAMS_CLIENT_ID = "", SAMS_CLIENT_SECRET = "" } = backEnds.env;
  gateway = await testGateway({
    actors: [
      {
        id: "small",
        name: "Small Shop",
        tokens: [{ ref: "env:SMALL_TOKEN" }],
        limits: { chat_completions: [{ limit: 2, per: "1h" }] },
      },
      {
        id: "zeta",
        name: "alpha Zeta",
        tokens: [{ ref: "env:ZETA_TOKEN" }],
        limits: { code_completions: [{ limit: 9, per: "1h" }] },
      },
    ],
    env: {
      CODY_GATEWAY_ADMIN_TOKENS: adminTokens,
      SAMS_URL,
      SAMS_CLIENT_ID,
      SAMS_CLIENT_SECRET,
      SMALL_TOKEN: "token-of-the-small-shop",
      ZETA_TOKEN: "token-of-alpha-zeta-ltd",
    },
  });
});
afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await backEnds.close();
});
beforeEach(async () => {
  const admin = adminOf(gateway);
  for (const { id } of [actor, { id: "small" }])
    await admin
      .clearActorOverride({ actor: { source: "static", id }, which: { case: "all", value: true }, reason })
      .catch(() => undefined);
});

async function chat(bearer = token, model = "gpt-4o"): Promise<Response> {
  return fetch(`${gateway.url}/openai/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${bearer}`, "content-type": "application/json" },
    body: JSON.stringify({ model, messages: [{ role: "user", content: "hi" }] }),
  });
}

async function statusOf(answer: Promise<Response>): Promise<number> {
  const { status, body } = await answer;
  await body?.cancel();
  return status;
}

async function codeOf(call: Promise<unknown>): Promise<Code | undefined> {
  return call.then(
    () => undefined,
    (error: unknown) => ConnectError.from(error).code,
  );
}

describe("admin credentials", () => {
  const writes = new Set([
    "SyncSource",
    "RefreshActor",
    "RevokeToken",
    "LiftRevocation",
    "SetActorOverride",
    "ClearActorOverride",
    "ResetUsage",
    "SendTestAlert",
  ]);
  const reviews = new Set(["ListFlaggedRequests", "GetFlaggedRequest"]);

  it.each(ActorAdminService.methods.map((method) => [method.name, method] as const))(
    "open %s to whom they should, and to nobody else",
    async (name, method) => {
      const call = async (bearer: string | undefined): Promise<Code | undefined> => {
        const client = createAdminClient({
          baseUrl: gateway.url,
          token: bearer ?? "",
          maxRetries: 0,
        }) as unknown as Record<
          string,
          (request: object, options: object) => Promise<unknown> | AsyncIterable<unknown>
        >;
        const answer = client[method.localName]?.({}, { timeoutMs: 30_000 });
        if (!answer || !(Symbol.asyncIterator in answer)) return codeOf(answer as Promise<unknown>);
        // Something to be told of, for who is let in to watch.
        const happening = setInterval(() => void statusOf(chat()).catch(() => undefined), 20);
        const first = async (): Promise<void> => {
          for await (const _ of answer) return;
        };
        return codeOf(first()).finally(() => clearInterval(happening));
      };

      expect(await call(undefined)).toBe(Code.Unauthenticated);
      expect(await call("not-a-credential-at-all")).toBe(Code.Unauthenticated);
      expect(await call(token)).toBe(Code.Unauthenticated);
      const { sams } = backEnds;
      const scoped = (...scopes: string[]): string => sams.issue({ scopes: ["openid", ...scopes] });
      const opens = async (bearer: string): Promise<boolean> => {
        const code = await call(bearer);
        expect(code).not.toBe(Code.Unauthenticated);
        return code !== Code.PermissionDenied;
      };
      const isRead = !writes.has(name) && !reviews.has(name);
      expect({
        viewer: await opens(viewerToken),
        operator: await opens(operatorToken),
        reader: await opens(scoped("cody_gateway::actors::read")),
        writer: await opens(scoped("cody_gateway::actors::write")),
        reviewer: await opens(scoped("cody_gateway::flaggedprompts::read")),
      }).toEqual({
        viewer: isRead,
        operator: true,
        reader: isRead,
        writer: !reviews.has(name),
        reviewer: reviews.has(name),
      });
    },
  );

  it("open no RPC and no route of actors", async () => {
    expect(await codeOf(gateway.client({ token: operatorToken }).limits.getLimits({}))).toBe(Code.Unauthenticated);
    expect(await statusOf(chat(operatorToken))).toBe(401);
  });
});

describe("overrides", () => {
  it("take access away at once, and give it back when they are cleared", async () => {
    const admin = adminOf(gateway);
    expect(await statusOf(chat())).toBe(200);

    await admin.setActorOverride({ actor, subject: { case: "access", value: { enabled: false } }, reason });
    expect(await statusOf(chat())).toBe(403);
    expect(await codeOf(gateway.client().limits.getLimits({}))).toBe(Code.PermissionDenied);

    const { overrides } = await admin.clearActorOverride({ actor, which: { case: "name", value: "access" }, reason });
    expect(overrides.map(({ name, setBy }) => [name, setBy])).toEqual([["access", "ada"]]);
    expect(await statusOf(chat())).toBe(200);
  });

  it("set limits that are exact, and models that are held", async () => {
    const admin = adminOf(gateway);
    const limits = [{ unit: Unit.REQUESTS, limit: 2n, interval: day }];
    await admin.setActorOverride({
      actor,
      subject: { case: "limits", value: { feature: Feature.CHAT_COMPLETIONS, limits } },
      reason,
    });
    await admin.resetUsage({ actor, feature: Feature.CHAT_COMPLETIONS, reason }).catch(() => undefined);

    const statuses = await Promise.all(Array.from({ length: 6 }, () => statusOf(chat())));
    expect(statuses.filter((status) => status === 200)).toHaveLength(2);
    expect(statuses.filter((status) => status === 429)).toHaveLength(4);

    await admin.clearActorOverride({ actor, which: { case: "all", value: true }, reason });
    const models = { feature: Feature.CHAT_COMPLETIONS, models: ["anthropic/*"] };
    await admin.setActorOverride({ actor, subject: { case: "allowedModels", value: models }, reason });
    expect(await statusOf(chat())).toBe(400);
  });

  it("end by themselves at their time", async () => {
    const admin = adminOf(gateway);
    let status = 200;
    for (let lifeMs = 400; status !== 403; lifeMs *= 2) {
      const endsAt = Date.now() + lifeMs;
      const subject = { case: "access", value: { enabled: false } } as const;
      await admin.setActorOverride({ actor, subject, reason, expireTime: timestampFromMs(endsAt) });
      status = await statusOf(chat());
      // A machine that stood still for so long.
      if (status !== 403) expect(Date.now()).toBeGreaterThan(endsAt);
    }
    while (status === 403) status = await statusOf(chat());
    expect(status).toBe(200);
    expect((await admin.listActorOverrides({ actor })).overrides).toEqual([]);
  });

  it("are refused for nobody, without a reason, and for what makes no sense", async () => {
    const admin = adminOf(gateway);
    const subject = { case: "access", value: { enabled: false } } as const;
    expect(await codeOf(admin.setActorOverride({ actor: { source: "static", id: "nobody" }, subject, reason }))).toBe(
      Code.NotFound,
    );
    expect(await codeOf(admin.setActorOverride({ actor, subject }))).toBe(Code.InvalidArgument);
    expect(await codeOf(admin.setActorOverride({ actor, reason }))).toBe(Code.InvalidArgument);
    expect(await codeOf(admin.clearActorOverride({ actor, which: { case: "name", value: "access" }, reason }))).toBe(
      Code.NotFound,
    );
  });
});

describe("revocations", () => {
  it("refuse a token until they are lifted, whatever its source says", async () => {
    const admin = adminOf(gateway);
    const by = { case: "accessToken", value: token } as const;

    const revoked = await admin.revokeToken({ token: by, reason });
    expect(revoked.actor).toMatchObject(actor);
    expect(await statusOf(chat())).toBe(401);
    expect((await admin.getActor({ query: { case: "actor", value: actor } })).tokens[0]?.revocation).toMatchObject({
      reason,
      revokedBy: "ada",
    });

    await admin.liftRevocation({ token: { case: "tokenId", value: revoked.token?.id ?? "" }, reason });
    expect(await statusOf(chat())).toBe(200);
    expect(await codeOf(admin.liftRevocation({ token: by, reason }))).toBe(Code.NotFound);
  });
});

describe("actors", () => {
  it("are listed by pages, filtered and in order", async () => {
    const admin = adminOf(gateway, viewerToken);
    const ids = async (query: object): Promise<string[]> => {
      const found: string[] = [];
      let pageToken = "";
      do {
        const page = await admin.listActors({ ...query, pageSize: 1, pageToken });
        found.push(...page.actors.map(({ ref }) => ref?.id ?? ""));
        pageToken = page.nextPageToken;
      } while (pageToken !== "");
      return found;
    };

    expect(await ids({})).toEqual(["acme", "small", "zeta"]);
    expect(await ids({ order: 2 })).toEqual(["acme", "zeta", "small"]);
    expect(await ids({ order: 2, descending: true })).toEqual(["small", "zeta", "acme"]);
    expect(await ids({ text: "SHOP" })).toEqual(["small"]);
    expect(await ids({ source: "elsewhere" })).toEqual([]);
    expect((await admin.listActors({})).totalSize).toBe(3);

    await adminOf(gateway).setActorOverride({ actor, subject: { case: "access", value: { enabled: false } }, reason });
    expect(await ids({ overridden: true })).toEqual(["acme"]);
    expect(await ids({ accessEnabled: true })).toEqual(["small", "zeta"]);
  });

  it("are shown by id and by token, with what they have and where it comes from", async () => {
    const admin = adminOf(gateway, viewerToken);
    const shown = await admin.getActor({ query: { case: "accessToken", value: "token-of-the-small-shop" } });

    expect(shown.actor).toMatchObject({
      ref: { source: "static", id: "small" },
      name: "Small Shop",
      accessEnabled: true,
      tokenCount: 1,
    });
    expect(shown.features.map(({ feature }) => feature)).toEqual([Feature.CHAT_COMPLETIONS]);
    expect(shown.features[0]?.limits[0]).toMatchObject({
      rateLimit: { limit: 2n, interval: { seconds: 3_600n } },
      origin: 1,
    });
    expect(
      JSON.stringify(shown, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value)),
    ).not.toContain("token-of-the");
    expect(await codeOf(admin.getActor({ query: { case: "accessToken", value: "some-token-of-nobody-at-all" } }))).toBe(
      Code.NotFound,
    );
  });

  it("that are over a limit are found, and their usage is shown and started anew", async () => {
    const admin = adminOf(gateway);
    const small = { source: "static", id: "small" };
    for (let i = 0; i < 3; i++) await statusOf(chat("token-of-the-small-shop"));
    expect(await statusOf(chat("token-of-the-small-shop"))).toBe(429);

    expect((await admin.listActors({ overLimit: true })).actors.map(({ ref }) => ref?.id)).toEqual(["small"]);
    const [usage] = (await admin.getUsage({ actor: small })).features;
    expect(usage).toMatchObject({
      feature: Feature.CHAT_COMPLETIONS,
      limits: [{ state: { rateLimit: { used: 2n, limit: 2n } } }],
    });
    expect(usage?.models).toMatchObject([{ model: "openai/gpt-4o", requests: 2n }]);
    expect(usage?.models[0]?.inputTokens).toBeGreaterThan(0n);

    const { before } = await admin.resetUsage({ actor: small, feature: Feature.CHAT_COMPLETIONS, reason });
    expect(before).toMatchObject([{ rateLimit: { used: 2n, limit: 2n } }]);
    // The gateway remembered that the actor had nothing left.
    expect(await statusOf(chat("token-of-the-small-shop"))).toBe(200);
    await admin.resetUsage({ actor: small, feature: Feature.CHAT_COMPLETIONS, reason });
  });

  it("show what they used, and start anew, also when their access is switched off", async () => {
    const admin = adminOf(gateway);
    const small = { source: "static", id: "small" };
    const feature = Feature.CHAT_COMPLETIONS;
    await admin.resetUsage({ actor: small, feature, reason });
    expect(await statusOf(chat("token-of-the-small-shop"))).toBe(200);
    await admin.setActorOverride({ actor: small, subject: { case: "access", value: { enabled: false } }, reason });

    expect((await admin.getUsage({ actor: small })).features[0]?.limits).toMatchObject([
      { state: { rateLimit: { used: 1n, limit: 2n } } },
    ]);
    const { before } = await admin.resetUsage({ actor: small, feature, reason });
    expect(before).toMatchObject([{ rateLimit: { used: 1n } }]);
    expect((await admin.getUsage({ actor: small })).features[0]?.limits).toMatchObject([
      { state: { rateLimit: { used: 0n } } },
    ]);
  });
});

describe("sources", () => {
  it("are listed in the order in which they are asked", async () => {
    const { sources } = await adminOf(gateway, viewerToken).listSources({});

    expect(
      sources.map(({ name, kind, actorCount, canSync, canLookUp }) => ({ name, kind, actorCount, canSync, canLookUp })),
    ).toEqual([{ name: "static", kind: "configuration file", actorCount: 3, canSync: false, canLookUp: true }]);
    expect(
      await codeOf(
        (async () => {
          for await (const _ of adminOf(gateway).syncSource({ source: "static" }));
        })(),
      ),
    ).toBe(Code.FailedPrecondition);
    expect(
      await codeOf(
        (async () => {
          for await (const _ of adminOf(gateway).syncSource({ source: "nowhere" }));
        })(),
      ),
    ).toBe(Code.NotFound);
  });
});

describe("activity", () => {
  it("is told as it happens, to those who watch, and only what they asked for", async () => {
    const admin = adminOf(gateway, viewerToken);
    const stop = new AbortController();
    const seen: WatchActivityResponse[] = [];
    const watched = (async () => {
      const outcomes = [ActivityOutcome.ADMITTED, ActivityOutcome.FINISHED, ActivityOutcome.REFUSED];
      for await (const response of admin.watchActivity({ actor, outcomes }, { signal: stop.signal })) {
        seen.push(response);
        if (seen.length >= 6) return;
      }
    })();
    // Until the watch has begun nothing is told: ask until something is.
    while (seen.length < 4) await statusOf(chat());
    await statusOf(chat("token-of-alpha-zeta-ltd"));
    while (seen.length < 6) await statusOf(chat(token, "no-such-model"));
    await watched;
    stop.abort();

    // The watch may have begun in the middle of a request.
    const told = seen.flatMap(({ event }) => (event.case === "dropped" || event.case === undefined ? [] : [event]));
    const at = told.findIndex(({ case: kind }) => kind === "decision");
    const first = told[at];
    const second = told.find(
      ({ case: kind, value }, index) =>
        index > at && kind === "finished" && value.activity?.requestId === first?.value.activity?.requestId,
    );
    expect(first?.value).toMatchObject({
      activity: { actor, actorName: "Acme Inc", path: "/openai/v1/chat/completions", resolvedModel: "openai/gpt-4o" },
    });
    expect(second?.value).toMatchObject({ activity: { outcome: ActivityOutcome.FINISHED }, upstreamStatus: 200 });
    for (const { event } of seen)
      if (event.case !== "dropped") expect(event.value?.activity?.actor).toMatchObject(actor);
  });
});

describe("the audit log", () => {
  it("tells who wrote what, why, what was there before and after, and what failed", async () => {
    const admin = adminOf(gateway);
    const subject = { case: "access", value: { enabled: false } } as const;
    await admin.setActorOverride({ actor, subject, reason: "first" });
    await admin.setActorOverride({ actor, subject, reason: "second" });
    await codeOf(admin.setActorOverride({ actor: { source: "static", id: "nobody" }, subject, reason: "third" }));

    const { entries } = await adminOf(gateway, viewerToken).listAuditEntries({ rpc: "SetActorOverride", pageSize: 3 });

    expect(entries.map((entry) => [entry.admin, entry.reason, entry.actor?.id, entry.error])).toEqual([
      ["ada", "third", "nobody", ErrorReason.NOT_FOUND],
      ["ada", "second", "acme", ErrorReason.UNSPECIFIED],
      ["ada", "first", "acme", ErrorReason.UNSPECIFIED],
    ]);
    expect(entries[1]?.before).toMatchObject({ reason: "first", name: "access" });
    expect(entries[1]?.after).toMatchObject({ reason: "second", access: {} });
    expect(JSON.stringify(entries.map(({ before, after }) => [before, after]))).not.toContain(token);
  });
});
