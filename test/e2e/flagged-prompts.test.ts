// Flagged prompts, read as the tools of the existing gateway do, by operators, and from the command line.

import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { run } from "../../src/cli/run.js";
import { createDemoSams, type DemoSams } from "../../src/demo/sams.js";
import { fakeIo } from "../cli/fake-io.js";
import { adminOf, adminTokens, operatorToken, viewerToken } from "../helpers/admin.js";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";
import { until } from "../helpers/redis.js";

const scope = "cody_gateway::flaggedprompts::read";
const list = "/maintenance/flagged-requests";
const words = "the forbidden words\u001b[2J";

let sams: DemoSams;
let gw: TestGateway;
let reviewer: string;
beforeAll(async () => {
  sams = createDemoSams({ clients: { gateway: { secret: "s", scopes: ["openid", "profile", "email"] } } });
  await sams.listen();
  gw = await testGateway({
    env: {
      CODY_GATEWAY_ADMIN_TOKENS: adminTokens,
      SAMS_URL: sams.url,
      SAMS_CLIENT_ID: "gateway",
      SAMS_CLIENT_SECRET: "s",
      CODY_GATEWAY_ANTHROPIC_BLOCKED_PROMPT_PATTERNS: "forbidden",
      CODY_GATEWAY_ANTHROPIC_REQUEST_BLOCKING_ENABLED: "true",
      CODY_GATEWAY_FLAGGED_PROMPTS_KEYS: `k:${"ab".repeat(32)}`,
      CODY_GATEWAY_FLAGGED_PROMPTS_SOURCES: "static",
    },
  });
  reviewer = sams.issue({ scopes: ["openid", scope], clientId: "abuse-desk" });
});
afterAll(async () => {
  await gw[Symbol.asyncDispose]();
  await sams.close();
});
beforeEach(() => gw.reset());

async function chat(content: string, feature = "chat_completions"): Promise<string> {
  const answer = await fetch(`${gw.url}/openai/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "x-sourcegraph-feature": feature },
    body: JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content }] }),
  });
  return answer.text();
}

/** Sends a prompt that is blocked; resolves to its key once it is kept. */
async function flag(content = words): Promise<string> {
  const [, traceId] = /reference this ID: ([0-9a-f]{32})/.exec(await chat(content)) ?? [];
  const key = `prompt:${traceId}:chat_completions:acme`;
  await until(async () => (await get(`${list}/${encodeURIComponent(key)}`)).status === 200);
  return key;
}

async function get(path: string, bearer: string | undefined = reviewer) {
  const headers = bearer === "" ? {} : { authorization: bearer.startsWith("Basic ") ? bearer : `Bearer ${bearer}` };
  const answer = await fetch(gw.url + path, { headers });
  return { status: answer.status, type: answer.headers.get("content-type"), body: await answer.text() };
}

describe(list, () => {
  it("has no prompts, then those that were flagged", async () => {
    expect(await get(list)).toEqual({ status: 200, type: "application/json", body: '{"prompts":null}\n' });

    const key = await flag();
    const traceId = key.split(":")[1];
    const { body } = await get(list);

    expect(JSON.parse(body)).toEqual({ prompts: [{ key, traceId, feature: "chat_completions", userId: "acme" }] });
    expect(await get(`${list}/${key}`)).toEqual({ status: 200, type: "text/plain; charset=utf-8", body: words });
    expect((await gw.event()).flagged).toMatchObject({ key, blocked: true });
  });

  it("has none of code completions, and none that are not flagged", async () => {
    const { body: before } = await get(list);
    expect(await chat("forbidden", "code_completions")).toContain("We blocked");
    expect(await chat("hello")).toContain("choices");
    await gw.event(({ outcome }) => outcome === "completed");

    expect((await get(list)).body).toBe(before);
  });

  it.each<[string, () => string, string, number, string]>([
    ["no token", () => "", list, 401, "Unauthorized"],
    ["what is no bearer token", () => "Basic abc", list, 401, "Unauthorized"],
    ["an actor's token", () => token, list, 401, "Unauthorized: Inactive token"],
    ["an operator's token", () => operatorToken, list, 401, "Unauthorized: Inactive token"],
    [
      "a token of another scope",
      () => sams.issue({ scopes: ["cody_gateway::actors::write"] }),
      list,
      403,
      "Forbidden: Missing required scope",
    ],
    [
      "a scope that only begins so",
      () => sams.issue({ scopes: [`${scope}x`, "cody_gateway::flaggedprompts"] }),
      list,
      403,
      "Forbidden: Missing required scope",
    ],
    ["another kind of key", () => reviewer, `${list}/index`, 400, "Invalid prompt key"],
    ["a key of nothing", () => reviewer, `${list}/prompt:x:chat_completions:acme`, 404, "Prompt not found"],
    ["another path", () => "", "/maintenance/other", 404, "404 page not found"],
  ])("answers %s", async (_, bearer, path, status, text) => {
    expect(await get(path, bearer())).toEqual({ status, type: "text/plain; charset=utf-8", body: `${text}\n` });
  });

  it("answers 500 without saying why while SAMS cannot be asked", async () => {
    const other = sams.issue({ scopes: [scope] });
    sams.fail({ kind: "status", status: 503 });
    try {
      expect(await get(list, other)).toEqual({
        status: 500,
        type: "text/plain; charset=utf-8",
        body: "Internal Server Error\n",
      });
    } finally {
      sams.heal();
    }
  });
});

async function codeOf(call: Promise<unknown>): Promise<Code | undefined> {
  return call.then(
    () => undefined,
    (error: unknown) => ConnectError.from(error).code,
  );
}

describe("the administration", () => {
  it("lists and reads them for operators and holders of the scope, and tells who read what", async () => {
    const key = await flag();
    for (const bearer of [operatorToken, reviewer]) {
      const admin = adminOf(gw, bearer);
      const { requests } = await admin.listFlaggedRequests({ blocked: true });
      expect(requests[0]).toMatchObject({
        key,
        actor: { source: "static", id: "acme" },
        model: "openai/gpt-4o",
        reasons: ["blocked_phrase"],
        blocked: true,
      });
      expect(await admin.getFlaggedRequest({ key, reason: "ticket 7" })).toMatchObject({
        prompt: words,
        request: { key },
      });
    }
    const { entries } = await adminOf(gw).listAuditEntries({});

    expect(entries.map(({ admin, rpc, reason, after }) => ({ admin, rpc, reason, after })).slice(0, 2)).toEqual([
      { admin: "abuse-desk", rpc: "GetFlaggedRequest", reason: "ticket 7", after: { key } },
      { admin: "ada", rpc: "GetFlaggedRequest", reason: "ticket 7", after: { key } },
    ]);
    expect(entries.some(({ rpc, admin }) => rpc === `GET ${list}` && admin === "abuse-desk")).toBe(true);
    expect(
      JSON.stringify(entries, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value)),
    ).not.toContain("forbidden words");
  });

  it.each<[string, () => string, Code]>([
    ["viewers", () => viewerToken, Code.PermissionDenied],
    [
      "SAMS tokens of an operator",
      () => sams.issue({ scopes: ["cody_gateway::actors::write"] }),
      Code.PermissionDenied,
    ],
    ["actors", () => token, Code.Unauthenticated],
    ["nobody", () => "", Code.Unauthenticated],
  ])("keeps them from %s", async (_, bearer, code) => {
    const admin = adminOf(gw, bearer());

    expect(await codeOf(admin.listFlaggedRequests({}))).toBe(code);
    expect(await codeOf(admin.getFlaggedRequest({ key: "prompt:x", reason: "x" }))).toBe(code);
  });

  it("opens nothing else to reviewers", async () => {
    expect(await codeOf(adminOf(gw, reviewer).listActors({}))).toBe(Code.PermissionDenied);
  });

  it("pages them, filters them, wants a reason, and says what is not there", async () => {
    const keys = [await flag(), await flag(), await flag()];
    const admin = adminOf(gw);
    const first = await admin.listFlaggedRequests({ pageSize: 2 });
    const second = await admin.listFlaggedRequests({ pageSize: 2, pageToken: first.nextPageToken });

    expect([...first.requests, ...second.requests].map(({ key }) => key).slice(0, 3)).toEqual(keys.toReversed());
    expect((await admin.listFlaggedRequests({ actor: { source: "static", id: "other" } })).requests).toEqual([]);
    expect((await admin.listFlaggedRequests({ blocked: false })).requests).toEqual([]);
    expect(await codeOf(admin.getFlaggedRequest({ key: keys[0] ?? "" }))).toBe(Code.InvalidArgument);
    expect(await codeOf(admin.getFlaggedRequest({ key: "prompt:x:y:z", reason: "x" }))).toBe(Code.NotFound);
  });
});

describe("cody-gateway admin flagged", () => {
  async function admin(...args: readonly string[]) {
    const { io, written } = fakeIo({ CODY_GATEWAY_URL: gw.url, CODY_GATEWAY_ADMIN_TOKEN: operatorToken }, {});
    const code = await run(["admin", "flagged", ...args], io);
    return { code, ...written };
  }

  it("lists them, and shows one that cannot move the cursor", async () => {
    const key = await flag();
    const listed = await admin("--actor", "static/acme", "--blocked");
    expect(listed.code).toBe(0);
    expect(listed.stdout).toContain(key);
    expect(listed.stdout).toContain("blocked_phrase (blocked)");

    const shown = await admin(key, "--reason", "ticket 7");
    expect(shown.stdout).toContain("the forbidden words\ufffd[2J");
    expect(JSON.parse((await admin(key, "--reason", "x", "--json")).stdout)).toMatchObject({ prompt: words });
    expect(await admin(key)).toMatchObject({ code: 2, stderr: expect.stringContaining("expected --reason") as string });
  });
});
