// What is kept of writes by administrators: who, what, to whom, and what became of it; and how `admin audit` shows it.

import type { Client } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ActorAdminService, AuditEntry } from "../../gen/codygateway/v1/actor_admin_pb.js";
import { ErrorReason, Feature } from "../../gen/codygateway/v1/common_pb.js";
import { run } from "../../src/cli/run.js";
import { type DemoBackEnds, startDemoBackEnds } from "../../src/demo/back-ends.js";
import { fakeIo } from "../cli/fake-io.js";
import { adminOf, adminTokens, operatorToken } from "../helpers/admin.js";
import { type TestGateway, testGateway } from "../helpers/gateway.js";

const portal = "dotcom-product-subscriptions";
const acme = { source: "static", id: "acme" };

let ends: DemoBackEnds;
let gateway: TestGateway;
let admin: Client<typeof ActorAdminService>;
beforeAll(async () => {
  ends = await startDemoBackEnds();
  gateway = await testGateway({
    actor: {
      limits: { chat_completions: [{ limit: 5, per: "1h" }] },
      perUserLimits: { chat_completions: [{ limit: 2, per: "1h" }] },
    },
    env: { ...ends.env, CODY_GATEWAY_ADMIN_TOKENS: adminTokens },
  });
  admin = adminOf(gateway);
});
afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await ends.close();
});

async function lastEntry(): Promise<AuditEntry | undefined> {
  return (await admin.listAuditEntries({ pageSize: 1 })).entries[0];
}

async function sync(request: Parameters<typeof admin.syncSource>[0]): Promise<void> {
  for await (const event of admin.syncSource(request)) void event;
}

/** What `admin audit` shows of each entry, from the column that says what was done. */
async function shown(args = ""): Promise<{ readonly told: readonly string[]; readonly stderr: string }> {
  const { io, written } = fakeIo({ CODY_GATEWAY_URL: gateway.url, CODY_GATEWAY_ADMIN_TOKEN: operatorToken });
  await run(["admin", "audit", ...args.split(" ").filter(Boolean)], io);
  const [head = "", ...rows] = written.stdout.trimEnd().split("\n");
  const told = rows.map((row) => row.slice(head.indexOf("what")).replaceAll(/ {2,}/g, " | "));
  return { told, stderr: written.stderr };
}

describe("the audit log", () => {
  it.each([
    ["static", ErrorReason.SYNC_NOT_SUPPORTED],
    ["nowhere", ErrorReason.NOT_FOUND],
  ])("does not say of a sync that is refused that it was done: %s", async (source, error) => {
    await expect(sync({ source, dryRun: true, reason: source })).rejects.toThrow();

    expect(await lastEntry()).toMatchObject({ rpc: "SyncSource", source, reason: source, error });
  });

  it("tells of a sync also when nobody waits for its end", async () => {
    for await (const event of admin.syncSource({ source: portal, reason: "left" })) {
      expect(event.event.case).toBe("started");
      break;
    }

    expect(await lastEntry()).toMatchObject({ rpc: "SyncSource", reason: "left", error: ErrorReason.UNSPECIFIED });
  });

  it("tells which token was refused, also of one that is nobody's", async () => {
    const token = { case: "accessToken", value: "leaked-token-of-nobody" } as const;
    const { token: revoked } = await admin.revokeToken({ token, reason: "found" });
    expect((await lastEntry())?.after).toMatchObject({ id: revoked?.id, revocation: { reason: "found" } });

    await admin.liftRevocation({ token, reason: "replaced" });
    expect((await lastEntry())?.before).toMatchObject({ id: revoked?.id, revocation: { reason: "found" } });
  });

  it("tells whose usage was set to 0, where it is that of a user", async () => {
    await admin.resetUsage({ actor: acme, feature: Feature.CHAT_COMPLETIONS, endUser: "42", reason: "mistake" });

    expect((await lastEntry())?.before).toMatchObject({ endUser: "42", limits: [{ rateLimit: { limit: "2" } }] });
  });

  it("wants reasons that say something", async () => {
    const before = await lastEntry();
    const subject = { case: "access", value: { enabled: true } } as const;

    await expect(admin.setActorOverride({ actor: acme, subject, reason: " \n" })).rejects.toThrow(
      "expected a reason that says why",
    );
    await expect(sync({ allowShrink: true, reason: " " })).rejects.toThrow("expected a reason that says why");
    expect((await lastEntry())?.id).toBe(before?.id);
  });
});

describe("cody-gateway admin audit", () => {
  it("shows what was changed", async () => {
    const limits = (limit: bigint) => {
      const rule = { limit, interval: { seconds: 3_600n }, models: ["openai/*"] };
      return { case: "limits" as const, value: { feature: Feature.CHAT_COMPLETIONS, limits: [rule] } };
    };
    const token = { case: "accessToken", value: "leaked-token-of-nobody" } as const;
    await admin.setActorOverride({ actor: acme, subject: limits(7n), reason: "one" });
    await admin.setActorOverride({ actor: acme, subject: limits(9n), reason: "two" });
    await admin.clearActorOverride({ actor: acme, which: { case: "all", value: true }, reason: "three" });
    const { token: revoked } = await admin.revokeToken({ token, reason: "four" });
    await admin.liftRevocation({ token, reason: "five" });
    await admin.resetUsage({ actor: acme, feature: Feature.CHAT_COMPLETIONS, reason: "six" });
    await admin.resetUsage({ actor: acme, feature: Feature.CHAT_COMPLETIONS, endUser: "42", reason: "seven" });
    await sync({ source: portal, dryRun: true, reason: "eight" });

    const { told } = await shown("--limit 8");
    expect(told).toEqual([
      "dry run | done | eight",
      'was 0 of 2 requests / 1 h by the user "42" | done | seven',
      "was 0 of 5 requests / 1 h | done | six",
      `token ${revoked?.id.slice(0, 16)} | done | five`,
      `token ${revoked?.id.slice(0, 16)} | done | four`,
      "limits/chat_completions: 9 requests/1 h of openai/* → none | done | three",
      "limits/chat_completions: 7 requests/1 h of openai/* → 9 requests/1 h of openai/* | done | two",
      "limits/chat_completions: 7 requests/1 h of openai/* | done | one",
    ]);
  });

  it("says when there is more", async () => {
    await sync({ source: portal, reason: "one" });
    await sync({ source: portal, reason: "two" });

    expect((await shown("--limit 1")).stderr).toBe("the last 1: --limit shows more\n");
    expect((await shown("--limit 1000")).stderr).toBe("");
  });
});
