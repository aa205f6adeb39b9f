// The routes of existing Sourcegraph instances, as their clients use them (wire.md 1, 2, 14, 20).

import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { freePort } from "../helpers/free-port.js";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";

let gw: TestGateway;
beforeAll(async () => {
  gw = await testGateway();
});
afterAll(() => gw[Symbol.asyncDispose]());
beforeEach(() => gw.reset());

const chat = { "x-sourcegraph-feature": "chat_completions", "x-sourcegraph-actor-uid": "42" };

function post(path: string, body: object | string, headers: Record<string, string> = chat): Promise<Response> {
  return fetch(gw.url + path, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

/** What an instance sends for a chat with Anthropic, older and newer alike. */
const anthropicChat = {
  messages: [
    { role: "system", content: [{ type: "text", text: "You are Cody" }] },
    { role: "user", content: [{ type: "text", text: "Explain this" }] },
  ],
  model: "claude-3-5-sonnet-20240620",
  temperature: 0.2,
  top_p: -1,
  top_k: -1,
  stream: true,
  stop_sequences: ["\n\nHuman:"],
  max_tokens: 4000,
};

describe("/v1/completions/anthropic-messages", () => {
  it("serves the request of an instance: system moved, -1 dropped, end user named, the rest as it was", async () => {
    const answer = await post("/v1/completions/anthropic-messages", anthropicChat, {
      ...chat,
      "x-api-key": "",
      client: "sourcegraph/1.0",
      "cache-control": "no-cache",
      "user-agent": "Sourcegraph-Bot",
    });
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toMatch(/^text\/event-stream/);
    expect(answer.headers.get("x-cody-resolved-model")).toBe("anthropic/claude-3-5-sonnet-20240620");
    expect(await answer.text()).toContain('"type":"content_block_delta"');
    const call = gw.upstream.calls[0];
    expect(call?.path).toBe("/v1/messages");
    expect(call?.key).toBe("upstream-key-anthropic");
    expect(call?.headers["anthropic-version"]).toBe("2023-06-01");
    expect(call?.json).toEqual({
      messages: [{ role: "user", content: [{ type: "text", text: "Explain this" }] }],
      system: "You are Cody",
      model: "claude-3-5-sonnet-20240620",
      temperature: 0.2,
      stream: true,
      stop_sequences: ["\n\nHuman:"],
      max_tokens: 4000,
      metadata: { user_id: "acme:42" },
    });
  });

  it("accepts string content, and a system message without parts", async () => {
    for (const content of ["plain", []]) {
      const messages = [
        { role: "system", content },
        { role: "user", content: "hi" },
      ];
      const body = { model: "claude-3-haiku-20240307", max_tokens: 10, messages };
      expect((await post("/v1/completions/anthropic-messages", body)).status).toBe(200);
    }
  });

  it.each([
    ["a feature that is missing", {}, anthropicChat, "X-Sourcegraph-Feature header is required"],
    [
      "an unknown feature",
      { "x-sourcegraph-feature": "embeddings" },
      anthropicChat,
      "invalid value for X-Sourcegraph-Feature",
    ],
    [
      "messages that are missing",
      chat,
      { model: "claude-3-haiku-20240307" },
      'request body must contain "messages" field',
    ],
    [
      "too many tokens",
      chat,
      { ...anthropicChat, max_tokens: 4001 },
      "max_tokens exceeds maximum allowed value of 4000: 4001",
    ],
  ])("answers 400 with the known text for %s", async (_name, headers, body, error) => {
    const answer = await post("/v1/completions/anthropic-messages", body, headers);
    expect(answer.status).toBe(400);
    expect(await answer.json()).toEqual({ error });
  });

  it("answers 400 with the allowed names for a model that is not", async () => {
    const answer = await post("/v1/completions/anthropic-messages", { ...anthropicChat, model: "gpt-4" });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toEqual({
      error: 'model "anthropic/gpt-4" is not allowed, allowed: [anthropic/claude-*, anthropic/demo-*]',
    });
  });

  it.each([
    ["no JSON", "hello"],
    ["an array", "[]"],
    ["a duplicate model", '{"model":"claude-3-haiku-20240307","mod\\u0065l":"claude-2","messages":[]}'],
    ["deep nesting", `{"model":"claude-2","messages":${"[".repeat(10_000)}${"]".repeat(10_000)}}`],
  ])("answers 400 for a body that is %s, and nothing reaches the upstream", async (_name, body) => {
    const answer = await post("/v1/completions/anthropic-messages", body);
    expect(answer.status).toBe(400);
    expect(((await answer.json()) as { error: string }).error).toMatch(/^failed to parse request body: /);
    expect(gw.upstream.calls).toHaveLength(0);
  });
});

describe("/v1/completions/anthropic", () => {
  it("serves text completions, streamed and whole", async () => {
    for (const stream of [true, false]) {
      const body = { model: "claude-2.0", prompt: "\n\nHuman: hi\n\nAssistant:", max_tokens_to_sample: 100, stream };
      const answer = await post("/v1/completions/anthropic", body);
      expect(answer.status).toBe(200);
      expect(await answer.text()).toContain('"completion"');
      const call = gw.upstream.calls.at(-1);
      expect(call?.path).toBe("/v1/complete");
      expect(call?.headers["anthropic-version"]).toBe("2023-01-01");
      expect(call?.json).toEqual({ ...body, metadata: { user_id: "acme:42" } });
    }
  });

  it("breaks off when the upstream does", async () => {
    const prompt = "\n\nHuman: hi [[truncate after=2]]\n\nAssistant:";
    const answer = await post("/v1/completions/anthropic", {
      model: "claude-2.0",
      prompt,
      max_tokens_to_sample: 100,
      stream: true,
    });
    await expect(answer.text()).rejects.toThrow();
  });
});

describe("/v1/completions/openai", () => {
  it("serves the request of an instance", async () => {
    const body = {
      model: "gpt-4o",
      messages: [{ role: "user", content: "hi" }],
      temperature: 0.2,
      n: 3,
      stream: false,
      max_tokens: 1000,
    };
    const answer = await post("/v1/completions/openai", body);
    expect(answer.status).toBe(200);
    expect(gw.upstream.calls[0]?.json).toEqual({ ...body, n: 1, user: "acme:42" });
  });

  it("does not serve code completions", async () => {
    const answer = await post(
      "/v1/completions/openai",
      { model: "gpt-4o", messages: [] },
      { "x-sourcegraph-feature": "code_completions" },
    );
    expect(answer.status).toBe(400);
    expect(await answer.json()).toEqual({ error: 'feature "code_completions" is currently not supported for OpenAI' });
  });

  it("turns the upstream's 429 into 503 with its hint, or with the provider's default", async () => {
    const ask = (content: string) =>
      post("/v1/completions/openai", { model: "gpt-4o", messages: [{ role: "user", content }] });
    const hinted = await ask("[[status=429 retry-after=7]]");
    expect([hinted.status, hinted.headers.get("retry-after")]).toEqual([503, "7"]);
    const unhinted = await ask("[[status=429]]");
    expect([unhinted.status, unhinted.headers.get("retry-after")]).toEqual([503, "30"]);
  });

  it("passes none of the provider's cookies, organisation ids and rate figures on", async () => {
    const answer = await post("/v1/completions/openai", {
      model: "gpt-4o",
      messages: [{ role: "user", content: "[[headers]]" }],
    });
    expect(answer.status).toBe(200);
    const names = [...answer.headers.keys()];
    for (const name of names)
      expect(name).not.toMatch(/cookie|organization|cf-|ratelimit-(requests|tokens)|^server$|^via$/);
  });

  it("does not follow redirects", async () => {
    const answer = await post("/v1/completions/openai", {
      model: "gpt-4o",
      messages: [{ role: "user", content: `[[redirect=${gw.upstream.url}/stolen]]` }],
    });
    expect(answer.status).toBe(502);
    expect(gw.upstream.calls).toHaveLength(1);
  });

  it("ends at X-Timeout-Ms", async () => {
    const messages = [{ role: "user", content: "[[delay=5000]]" }];
    const answer = await post(
      "/v1/completions/openai",
      { model: "gpt-4o", messages },
      { ...chat, "x-timeout-ms": "200" },
    );
    expect(answer.status).toBe(504);
    expect(await answer.json()).toEqual({ error: "request to upstream provider openai timed out" });
    await gw.upstream.calls[0]?.aborted;
  });
});

describe("callers", () => {
  const limits = (authorization?: string): Promise<Response> =>
    fetch(`${gw.url}/v1/limits`, { headers: authorization === undefined ? {} : { authorization } });

  it.each([
    ["no token", undefined, 401, 'Bearer realm="cody-gateway"', "Cody Gateway access not enabled"],
    [
      "an unknown token",
      "Bearer slk_unknown",
      401,
      'Bearer realm="cody-gateway", error="invalid_token"',
      "token not from source: no source found for token",
    ],
    [
      "no scheme",
      "slk_unknown",
      400,
      'Bearer realm="cody-gateway", error="invalid_request"',
      "token type missing in Authorization header",
    ],
    [
      "another scheme",
      "token abc",
      400,
      'Bearer realm="cody-gateway", error="invalid_request"',
      "invalid token type token",
    ],
  ])("with %s are told so", async (_name, authorization, status, challenge, error) => {
    const answer = await limits(authorization);
    expect(answer.status).toBe(status);
    expect(answer.headers.get("www-authenticate")).toBe(challenge);
    expect(await answer.json()).toEqual({ error });
  });

  it("are anonymous where that is allowed, within the anonymous limits", async () => {
    await using open = await testGateway({ env: { CODY_GATEWAY_ALLOW_ANONYMOUS: "true" } });
    const answer = await fetch(`${open.url}/v1/limits`);
    expect(await answer.json()).toMatchObject({ chat_completions: { limit: 50, interval: "24h0m0s", usage: 0 } });
  });

  it("get 404 for unknown paths, 405 for wrong methods", async () => {
    const missing = await post("/v1/completions/nobody", {});
    expect([missing.status, await missing.text()]).toEqual([404, "404 page not found\n"]);
    const wrong = await fetch(`${gw.url}/v1/completions/openai`);
    expect([wrong.status, wrong.headers.get("allow")]).toEqual([405, "POST"]);
  });

  it("have a request id on every answer, their own where they sent one", async () => {
    expect((await limits()).headers.get("x-request-id")).toBeTruthy();
    const own = await fetch(`${gw.url}/v1/limits`, { headers: { "x-request-id": "my-id-1" } });
    expect(own.headers.get("x-request-id")).toBe("my-id-1");
  });
});

describe("diagnostics", () => {
  it("tell the version, life, readiness and metrics", async () => {
    const get = async (path: string) => {
      const answer = await fetch(gw.url + path);
      return { status: answer.status, text: await answer.text() };
    };
    expect(await get("/-/__version")).toEqual({ status: 200, text: "0.0.0-test" });
    expect((await get("/livez")).status).toBe(200);
    expect((await get("/readyz")).status).toBe(200);
    await (
      await post("/v1/completions/openai", { model: "gpt-4o", messages: [{ role: "user", content: "hi" }] })
    ).text();
    await gw.event();
    const { text } = await get("/metrics");
    expect(text).toMatch(
      /^cody_gateway_requests_total\{surface="sourcegraph",feature="chat_completions",provider="openai",outcome="completed",reason=""\} [1-9]/m,
    );
    expect(text).toContain("nodejs_eventloop_lag_p99_seconds");
  });

  it("tell health to who has the secret, as the existing gateway does", async () => {
    await using secret = await testGateway({ env: { CODY_GATEWAY_DIAGNOSTICS_SECRET: "let-me-in" } });
    const get = async (authorization?: string) => {
      const answer = await fetch(`${secret.url}/-/healthz`, { headers: authorization ? { authorization } : {} });
      return [answer.status, await answer.text()];
    };
    expect(await get("Bearer let-me-in")).toEqual([200, "healthz: ok"]);
    for (const path of ["/-/healthz", "/-/actor/sync-all-sources"])
      for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
        const answer = await fetch(`${secret.url}${path}`, { method, headers: { authorization: "Bearer let-me-in" } });
        expect(answer.status, `${method} ${path}`).toBe(200);
        expect((await fetch(`${secret.url}${path}`, { method })).status, `${method} ${path}`).toBe(401);
      }
    expect(await get()).toEqual([401, ""]);
    expect(await get("Bearer let-me-out")).toEqual([401, ""]);
    expect(await get("let-me-in")).toEqual([400, '{"error":"token type missing in Authorization header"}\n']);
    expect((await fetch(`${gw.url}/-/healthz`)).status).toBe(404);
  });

  it("stand on a port of their own where one is set, the version on both", async () => {
    await using apart = await testGateway({ env: { CODY_GATEWAY_ADMIN_PORT: String(await freePort()) } });
    const { url, adminUrl } = apart.gateway;
    expect(adminUrl).not.toBe(url);
    expect((await fetch(`${url}/metrics`)).status).toBe(404);
    expect((await fetch(`${adminUrl}/metrics`)).status).toBe(200);
    expect((await fetch(`${url}/-/__version`)).status).toBe(200);
    expect((await fetch(`${adminUrl}/-/__version`)).status).toBe(200);
  });
});
