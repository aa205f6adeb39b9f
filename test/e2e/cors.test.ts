// What browsers are told about calls from pages of other origins. In a real one: test/soak/browser.test.ts.

import { connect } from "node:http2";
import { request } from "undici";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { adminTokens } from "../helpers/admin.js";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";

const app = "https://app.example.com";
const stranger = "https://evil.example.com";
const chat = "/openai/v1/chat/completions";
const gemini = "/google/v1beta/models/gemini-2.5-flash:generateContent";
const rpc = "/codygateway.v1.LimitsService/GetLimits";
const admin = "/codygateway.v1.ActorAdminService/ListSources";

let gw: TestGateway;
beforeAll(async () => {
  gw = await testGateway({
    env: { CODY_GATEWAY_CORS_ORIGINS: `http://localhost:3000,${app}`, CODY_GATEWAY_ADMIN_TOKENS: adminTokens },
  });
});
afterAll(() => gw[Symbol.asyncDispose]());
beforeEach(() => gw.reset());

type Headers = Readonly<Record<string, string>>;

async function call(method: "GET" | "POST" | "OPTIONS", path: string, headers: Headers, body?: object, at = gw) {
  const json = body ? { "content-type": "application/json" } : {};
  const answer = await request(at.url + path, {
    method,
    headers: { ...json, ...headers },
    body: body ? JSON.stringify(body) : null,
  });
  const text = await answer.body.text();
  return { status: answer.statusCode, headers: answer.headers, text };
}

const preflight = (path: string, origin: string, at = gw) =>
  call(
    "OPTIONS",
    path,
    {
      origin,
      "access-control-request-method": "POST",
      "access-control-request-headers": "authorization,connect-protocol-version,content-type,x-stainless-lang",
    },
    undefined,
    at,
  );

/** What of the headers is about other origins. */
function told(headers: Readonly<Record<string, unknown>>): string[] {
  return Object.keys(headers).filter((name) => name.startsWith("access-control-") || name === "vary");
}

const bearer = { authorization: `Bearer ${token}` };
const hello = { model: "gpt-4o", messages: [{ role: "user", content: "hello" }] };

describe("a page of an origin that may call", () => {
  it.each([chat, gemini, "/openai/v1/models", rpc, "/codygateway.v1.CompletionsService/StreamComplete"])(
    "is told so before it calls %s, without a token",
    async (path) => {
      const { status, headers, text } = await preflight(path, app);
      expect([status, text]).toEqual([204, ""]);
      expect(headers).toMatchObject({
        "access-control-allow-origin": app,
        "access-control-allow-methods": "POST, GET",
        "access-control-allow-headers": "authorization,connect-protocol-version,content-type,x-stainless-lang",
        "access-control-max-age": "7200",
        vary: "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
        "x-request-id": expect.any(String),
      });
      expect(headers).not.toHaveProperty("access-control-allow-credentials");
    },
  );

  it("reads answers, whole and streamed, with what their headers say", async () => {
    for (const stream of [false, true]) {
      const { status, headers } = await call("POST", chat, { ...bearer, origin: app }, { ...hello, stream });
      expect(status).toBe(200);
      expect(headers).toMatchObject({ "access-control-allow-origin": app, vary: "Origin" });
      const readable = String(headers["access-control-expose-headers"]).split(", ");
      for (const name of ["x-request-id", "x-trace", "x-cody-resolved-model"]) {
        expect(headers).toHaveProperty(name);
        expect(readable).toContain(name);
      }
      for (const name of ["retry-after", "ratelimit", "x-ratelimit-limit", "grpc-status", "grpc-status-details-bin"])
        expect(readable).toContain(name);
    }
    const { status, headers } = await call(
      "POST",
      rpc,
      { ...bearer, origin: app, "connect-protocol-version": "1" },
      {},
    );
    expect(status).toBe(200);
    expect(headers).toMatchObject({ "access-control-allow-origin": app, vary: "Origin" });
  });

  it("reads refusals and failures", async () => {
    const nobody = await call("POST", chat, { authorization: "Bearer nobody-knows-this-one", origin: app }, hello);
    const wrong = await call("POST", chat, { ...bearer, origin: app, "content-encoding": "br" }, hello);
    const refused = await call("POST", rpc, { origin: app, "connect-protocol-version": "1" }, {});
    expect([nobody.status, wrong.status, refused.status]).toEqual([401, 415, 401]);
    for (const { headers } of [nobody, wrong, refused]) expect(headers["access-control-allow-origin"]).toBe(app);
  });

  it("is told the same over HTTP/2", async () => {
    const session = connect(gw.url);
    const headers = await new Promise<Readonly<Record<string, unknown>>>((resolve, reject) => {
      const stream = session.request({
        ":method": "OPTIONS",
        ":path": rpc,
        origin: app,
        "access-control-request-method": "POST",
      });
      stream.on("response", resolve).on("error", reject).end();
    });
    session.close();
    expect(headers).toMatchObject({ ":status": 204, "access-control-allow-origin": app });
  });

  it("is given no headers that it did not ask for well", async () => {
    const asked = {
      origin: app,
      "access-control-request-method": "POST",
      "access-control-request-headers": "a b, c;d",
    };
    const { status, headers } = await call("OPTIONS", chat, asked);
    expect(status).toBe(204);
    expect(headers).not.toHaveProperty("access-control-allow-headers");
  });
});

describe("pages of other origins", () => {
  it.each([stranger, "null", `${app}.evil.example.com`, "http://app.example.com", `${app}:8443`])(
    "of %s are told nothing",
    async (origin) => {
      for (const path of [chat, rpc]) {
        const before = await preflight(path, origin);
        expect(before.status).toBeGreaterThanOrEqual(400);
        expect(told(before.headers)).toEqual(["vary"]);
      }
      const { status, headers } = await call("POST", chat, { ...bearer, origin }, hello);
      expect([status, told(headers)]).toEqual([200, ["vary"]]);
    },
  );

  it("are nowhere told anything beside the routes that pages may call", async () => {
    const paths = ["/v1/completions/openai", "/v1/limits", admin, "/metrics", "/livez", "/-/__version", "/nowhere"];
    const others = ["/grpc.health.v1.Health/Check", "/codygateway.v1.CompletionsService/Nothing", "/openai/v1/none"];
    for (const path of [...paths, ...others]) {
      const before = await preflight(path, app);
      // That one takes any method, and pages are let read nothing of its answer.
      const isServed = path === "/-/__version";
      expect([path, before.status < 400, told(before.headers)]).toEqual([path, isServed, []]);
      const { headers } = await call("POST", path, { ...bearer, origin: app }, {});
      expect([path, told(headers)]).toEqual([path, []]);
    }
  });

  it("are told nothing at all unless it is set which may call", async () => {
    await using plain = await testGateway();
    for (const path of [chat, rpc]) {
      const { status, headers } = await preflight(path, app, plain);
      expect([status >= 400, told(headers)]).toEqual([true, []]);
    }
    const { status, headers } = await call("POST", chat, { ...bearer, origin: app }, hello, plain);
    expect([status, told(headers)]).toEqual([200, []]);
  });
});

describe("any origin", () => {
  it("may call where that is set, and answers are the same for all", async () => {
    await using open = await testGateway({ env: { CODY_GATEWAY_CORS_ORIGINS: "*" } });
    expect((await preflight(chat, stranger, open)).headers["access-control-allow-origin"]).toBe("*");
    const { headers } = await call("POST", chat, { ...bearer, origin: stranger }, hello, open);
    expect(headers["access-control-allow-origin"]).toBe("*");
    expect(headers).not.toHaveProperty("vary");
  });
});
