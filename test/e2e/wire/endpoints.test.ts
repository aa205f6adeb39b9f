// wire.md 1.1 (which endpoints there are), 1.2 (how the gateway itself answers), 1.10 (diagnostics).

import { afterAll, beforeAll, describe, it } from "vitest";
import { type TestGateway, testGateway } from "../../helpers/gateway.js";
import { bearer, type Wire, wireTo } from "../../helpers/wire.js";

const secret = "secret-of-the-diagnostics";
let gw: TestGateway;
let wire: Wire;
let bare: TestGateway;
beforeAll(async () => {
  [gw, bare] = await Promise.all([
    testGateway({ env: { CODY_GATEWAY_DIAGNOSTICS_SECRET: secret } }),
    testGateway({ env: { ANTHROPIC_API_KEY: "", GEMINI_API_KEY: "", FIREWORKS_API_KEY: "" } }),
  ]);
  wire = wireTo(gw);
});
afterAll(() => Promise.all([gw[Symbol.asyncDispose](), bare[Symbol.asyncDispose]()]));

const json = "Content-Type: application/json";

describe.concurrent("1.1 endpoints", () => {
  it.for([
    ["POST /v1/completions/anthropic", 400],
    ["POST /v1/completions/anthropic-messages", 400],
    ["POST /v1/completions/openai", 400],
    ["POST /v1/completions/fireworks", 400],
    ["POST /v1/completions/google", 400],
    ["GET /v1/limits", 200],
    ["POST /v1/limits/refresh", 200],
    ["GET /-/__version", 200],
    ["POST /-/__version", 200],
    ["PUT /-/__version", 200],
    ["DELETE /-/__version", 200],
  ] as const)("1.1 %s is there", async ([line, status], { expect }) => {
    expect((await wire.send(line, [bearer(), json], line.startsWith("POST") ? "{}" : undefined)).status).toBe(status);
  });

  it("1.1 a provider whose token is unset has no endpoint", async ({ expect }) => {
    const paths = ["anthropic", "anthropic-messages", "fireworks", "google"];
    const replies = await Promise.all(
      paths.map((path) => wireTo(bare).send(`POST /v1/completions/${path}`, [bearer(), json], "{}")),
    );
    for (const { status, body } of replies) expect([status, body]).toEqual([404, "404 page not found\n"]);
  });

  it.for([
    ["GET /v1/completions/openai", "POST"],
    ["PUT /v1/completions/openai", "POST"],
    ["POST /v1/limits", "GET"],
    ["GET /v1/limits/refresh", "POST"],
  ] as const)("0.1 %s is answered 405 with an empty body, and what is allowed", async ([line, allow], { expect }) => {
    const reply = await wire.send(line, [bearer()], line.startsWith("GET") ? undefined : "");
    expect([reply.status, reply.body, reply.headers["allow"]]).toEqual([405, "", allow]);
  });

  it.for(["/v1/completions/unified", "/v1/nowhere", "/v1", "/", "/v1/completions/openai/"])(
    "0.1 %s is answered 404 in plain text",
    async (path, { expect }) => {
      const { status, body, headers } = await wire.send(`GET ${path}`, [bearer()]);
      expect([status, body]).toEqual([404, "404 page not found\n"]);
      expect(headers["content-type"]).toMatch(/^text\/plain/);
    },
  );
});

describe.concurrent("1.2 the gateway's own answers", () => {
  it("1.2 errors are one JSON object with `error` and a line break", async ({ expect }) => {
    const { status, body, headers } = await wire.ask("/v1/completions/openai", "{");
    expect(status).toBe(400);
    expect(body).toMatch(/^\{"error":"failed to parse request body: [^\n]*"\}\n$/);
    expect(headers["content-type"]).toBe("application/json");
  });

  it("1.2 nothing is compressed, and there is no CORS", async ({ expect }) => {
    const reply = await wire.send("GET /v1/limits", [
      bearer(),
      "Accept-Encoding: gzip, br",
      "Origin: https://evil.test",
    ]);
    expect(reply.headers).not.toHaveProperty("content-encoding");
    expect(Object.keys(reply.headers).filter((name) => name.startsWith("access-control-"))).toEqual([]);
  });
});

describe.concurrent("1.10 diagnostics", () => {
  const withSecret = [`Authorization: Bearer ${secret}`];

  it("1.10 /-/__version tells the version to everybody", async ({ expect }) => {
    for (const headers of [[], ["Authorization: nonsense"]]) {
      const reply = await wire.send("GET /-/__version", headers);
      expect([reply.status, reply.body]).toEqual([200, "0.0.0-test"]);
      expect(reply.headers["content-type"]).toMatch(/^text\/plain/);
    }
  });

  it("1.10 /-/healthz is ok for who has the secret, by any method", async ({ expect }) => {
    for (const line of ["GET /-/healthz", "POST /-/healthz"]) {
      const reply = await wire.send(line, withSecret, line.startsWith("POST") ? "" : undefined);
      expect([reply.status, reply.body]).toEqual([200, "healthz: ok"]);
    }
  });

  it.for([
    ["/-/healthz", "Authorization: nonsense", 400, '{"error":"token type missing in Authorization header"}\n'],
    ["/-/healthz", "Authorization: Basic eA==", 400, '{"error":"invalid token type Basic"}\n'],
    ["/-/healthz", `Authorization: Bearer ${secret}x`, 401, ""],
    ["/-/healthz", "X-Other: x", 401, ""],
    [
      "/-/actor/sync-all-sources",
      "Authorization: nonsense",
      400,
      '{"error":"token type missing in Authorization header"}\n',
    ],
    ["/-/actor/sync-all-sources", `Authorization: Bearer ${secret}x`, 401, ""],
    ["/-/actor/sync-all-sources", "X-Other: x", 401, ""],
  ] as const)("1.10 %s with %s is %i", async ([path, header, status, body], { expect }) => {
    const reply = await wire.send(`GET ${path}`, [header]);
    expect([reply.status, reply.body]).toEqual([status, body]);
  });

  it("1.10 an actor's token does not open them", async ({ expect }) => {
    expect((await wire.send("GET /-/healthz", [bearer()])).status).toBe(401);
  });

  it("1.10 /-/actor/sync-all-sources answers with the lines of the run", async ({ expect }) => {
    const { status, body, headers } = await wire.send("POST /-/actor/sync-all-sources", withSecret, "");
    expect([status, headers["content-type"]]).toEqual([200, "application/x-ndjson"]);
    for (const line of body.split("\n").filter((each) => each !== ""))
      expect(() => JSON.parse(line) as object).not.toThrow();
  });

  it("1.10 any other path there is 404, empty", async ({ expect }) => {
    const reply = await wire.send("GET /-/debug", withSecret);
    expect([reply.status, reply.body]).toEqual([404, ""]);
  });
});
