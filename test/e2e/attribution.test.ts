// Where code stands in public: what an instance and the typed client get of Sourcegraph.com's search, and who may ask.

import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { type DemoBackEnds, startDemoBackEnds } from "../../src/demo/back-ends.js";
import { userToken } from "../../src/demo/dotcom.js";
import { demoSubscriptions, demoToken, demoUuid } from "../../src/demo/subscriptions.js";
import { type TestGateway, testGateway, token } from "../helpers/gateway.js";
import { until } from "../helpers/redis.js";

const customer = demoToken(demoUuid("0"));
const disabled = demoToken(demoUuid("1"));
const nobody = demoToken("of nobody at all");

let ends: DemoBackEnds;
let gw: TestGateway;

beforeAll(async () => {
  ends = await startDemoBackEnds();
  ends.portal.set(demoSubscriptions(2, (index) => ({ enabled: index === 0 })));
  ends.dotcom.set({ id: 42, username: "ada" });
  for (let index = 0; index < 7; index++) ends.dotcom.publish(`github.com/o/r${index}`, "const everywhere = 1;");
  ends.dotcom.publish("github.com/o/only", "const once = 1;");
  gw = await testGateway({ env: { ...ends.env } });
  // Sources are asked of so many tokens a second: each is asked of before its test.
  for (const as of [customer, disabled, nobody, userToken(42)])
    await until(async () => (await post({ snippet: "" }, as)).status !== 503);
});
afterAll(async () => {
  await gw[Symbol.asyncDispose]();
  await ends.close();
});
beforeEach(() => {
  gw.reset();
  ends.dotcom.clear();
});

/** As an instance asks: without a content type or a feature. */
async function post(body: unknown, as: string | undefined = customer, url = gw.url) {
  const answer = await fetch(`${url}/v1/attribution`, {
    method: "POST",
    ...(as !== "" && { headers: { authorization: `Bearer ${as}` } }),
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  return { status: answer.status, text: await answer.text(), headers: answer.headers };
}

const searches = () => ends.dotcom.calls.filter(({ operation }) => operation === "SnippetAttribution");

describe("POST /v1/attribution", () => {
  it("names repositories in the letter's case that instances know", async () => {
    const { status, text, headers } = await post({ snippet: "const everywhere", limit: 2 });
    expect(status).toBe(200);
    expect(headers.get("content-type")).toBe("application/json");
    expect(text).toBe(
      '{"Repositories":[{"name":"github.com/o/r0"},{"name":"github.com/o/r1"}],"totalCount":7,"limitHit":true}',
    );
    const [call] = searches();
    expect(call?.variables).toEqual({ snippet: "const everywhere", first: 2 });
    expect(call?.headers["authorization"]).toBe("token sgp_of_the_gateway");
    expect(call?.headers["user-agent"]).toBe("Cody-Gateway/dev 0.0.0-test");
  });

  it("leaves out what is none", async () => {
    expect((await post({ snippet: "const once", limit: 2 })).text).toBe(
      '{"Repositories":[{"name":"github.com/o/only"}],"totalCount":1}',
    );
    expect((await post({ snippet: "nowhere to be found", limit: 2 })).text).toBe('{"Repositories":null}');
  });

  it.each([
    [0, 4],
    [5, 4],
    [-1, 4],
    [undefined, 4],
    [4, 4],
    [1, 1],
  ])("asks for %s as for %s", async (limit, first) => {
    expect((await post({ snippet: "const everywhere", limit })).status).toBe(200);
    expect(searches()[0]?.variables["first"]).toBe(first);
  });

  it("takes nothing of any limit, and tells no event", async () => {
    await post({ snippet: "const once" });
    const answer = await fetch(`${gw.url}/v1/limits`, { headers: { authorization: `Bearer ${customer}` } });
    const limits = (await answer.json()) as Record<string, { usage: number }>;
    expect(Object.values(limits).map(({ usage }) => usage)).toEqual([0, 0, 0]);
    expect(gw.events).toEqual([]);
  });

  it("serves a subscription whose access to models is disabled", async () => {
    expect((await post({ snippet: "const once" }, disabled)).status).toBe(200);
    const chat = await fetch(`${gw.url}/openai/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${disabled}` },
      body: JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content: "hi" }] }),
    });
    expect(chat.status).toBe(403);
  });

  it.each([
    ["a user of Sourcegraph.com", userToken(42)],
    ["an actor of the file", token],
  ])("refuses %s", async (_who, as) => {
    const { status, text } = await post({ snippet: "const once" }, as);
    expect(status).toBe(401);
    expect(JSON.parse(text)).toEqual({ error: "only available for enterprise product subscriptions" });
    expect(searches()).toEqual([]);
  });

  it("stays closed to a token that nobody knows, however often it comes", async () => {
    for (let time = 0; time < 3; time++) expect((await post({ snippet: "const once" }, nobody)).status).toBe(401);
    expect((await post({ snippet: "const once" }, "")).status).toBe(401);
    expect(searches()).toEqual([]);
  });

  it.each([
    ["no JSON", "{"],
    ["no snippet", { limit: 1 }],
    ["an empty snippet", { snippet: "" }],
    ["a snippet that is none", { snippet: 7 }],
    ["a limit that is none", { snippet: "x", limit: "2" }],
    ["too much", { snippet: "x".repeat(1024 * 1024 + 1) }],
  ])("refuses %s", async (_what, body) => {
    const { status, text } = await post(body);
    expect(status).toBe(400);
    expect((JSON.parse(text) as { error: string }).error).not.toBe("");
    expect(searches()).toEqual([]);
  });

  it("tells nothing of what Sourcegraph.com said when it fails", async () => {
    ends.dotcom.distort(() => ({
      errors: [{ message: "secret words of the resolver", extensions: { code: "Boom" } }],
    }));
    const { status, text, headers } = await post({ snippet: "const once" });
    ends.dotcom.distort(undefined);
    expect(status).toBe(502);
    expect(JSON.parse(text)).toEqual({ error: "fetching SnippetAttribution from sourcegraph.com failed" });
    expect(Number(headers.get("retry-after"))).toBeGreaterThan(3);
  });

  it("fails where there are errors beside what was found", async () => {
    ends.dotcom.distort((said) => ({ ...said, errors: [{ message: "only a part of it" }] }));
    const { status } = await post({ snippet: "const once" });
    ends.dotcom.distort(undefined);
    expect(status).toBe(502);
  });

  it.each([
    ["no repositories", { snippetAttribution: { totalCount: 1 } }],
    ["repositories without names", { snippetAttribution: { nodes: [{}], totalCount: 1, limitHit: false } }],
    ["nothing", {}],
  ])("fails on an answer with %s", async (_what, data) => {
    ends.dotcom.distort(() => ({ data }));
    const { status } = await post({ snippet: "const once" });
    ends.dotcom.distort(undefined);
    expect(status).toBe(502);
  });

  it("fails while Sourcegraph.com does, and works again after", async () => {
    ends.dotcom.fail({ kind: "status", status: 503 }, { times: 1 });
    expect((await post({ snippet: "const once" })).status).toBe(502);
    expect((await post({ snippet: "const once" })).status).toBe(200);
  });

  it("has eight searches of one actor under way at a time, and leaves others their turn", async () => {
    let hold = (): void => {};
    const held = new Promise<void>((resolve) => {
      hold = resolve;
    });
    let answers = 0;
    ends.dotcom.distort(async (said) => {
      if (++answers <= 8) await held;
      return said;
    });
    const waiting = Array.from({ length: 8 }, () => post({ snippet: "const once" }));
    await ends.dotcom.waitFor(() => searches().length === 8);
    const ninth = await post({ snippet: "const once" });
    expect(ninth.status).toBe(503);
    expect(Number(ninth.headers.get("retry-after"))).toBeGreaterThan(0);
    expect((await post({ snippet: "const once" }, disabled)).status).toBe(200);
    ends.dotcom.distort(undefined);
    hold();
    expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual(Array(8).fill(200));
    expect((await post({ snippet: "const once" })).status).toBe(200);
  });

  it.each([
    ["it is not enabled", { CODY_GATEWAY_ENABLE_ATTRIBUTION_SEARCH: "false" }],
    ["there is no token for Sourcegraph.com", { CODY_GATEWAY_DOTCOM_ACCESS_TOKEN: "" }],
  ])("answers 503 where %s", async (_why, env) => {
    await using off = await testGateway({ env: { ...ends.env, ...env } });
    const { status, text, headers } = await post({ snippet: "const once" }, customer, off.url);
    expect(status).toBe(503);
    expect(JSON.parse(text)).toEqual({ error: "attribution search not enabled" });
    expect(Number(headers.get("retry-after"))).toBeGreaterThan(3);
    const call = off.client({ token: customer }).attribution.searchAttribution({ snippet: "x" });
    await expect(call).rejects.toMatchObject({ code: Code.Unimplemented });
  });
});

describe.each([
  ["connect", "1.1"],
  ["grpc", "2"],
] as const)("AttributionService over %s", (protocol, httpVersion) => {
  const client = (as: string) => gw.client({ protocol, httpVersion, token: as }).attribution;

  it("names repositories", async () => {
    const answer = await client(customer).searchAttribution({ snippet: "const everywhere", limit: 3 });
    expect(answer).toMatchObject({ totalCount: 7, limitHit: true });
    expect(answer.repositories.map(({ name }) => name)).toEqual([
      "github.com/o/r0",
      "github.com/o/r1",
      "github.com/o/r2",
    ]);
    expect((await client(disabled).searchAttribution({ snippet: "const everywhere" })).repositories).toHaveLength(4);
    expect(await client(customer).searchAttribution({ snippet: "nowhere" })).toMatchObject({
      repositories: [],
      totalCount: 0,
      limitHit: false,
    });
  });

  it.each([
    ["an actor of the file", token, { snippet: "x" }, Code.PermissionDenied, "SOURCE_NOT_ALLOWED"],
    ["a token that nobody knows", nobody, { snippet: "x" }, Code.Unauthenticated, "TOKEN_INVALID"],
    ["a limit beyond four", customer, { snippet: "x", limit: 5 }, Code.InvalidArgument, undefined],
    ["no snippet", customer, {}, Code.InvalidArgument, undefined],
  ])("refuses %s", async (_who, as, request, code, reason) => {
    const error = await client(as)
      .searchAttribution(request)
      .then(() => undefined, ConnectError.from);
    expect(error?.code).toBe(code);
    expect(error?.findDetails(ErrorInfoSchema)[0]?.reason).toBe(reason);
    expect(searches()).toEqual([]);
  });

  it("is unavailable while Sourcegraph.com is, in words of its own", async () => {
    ends.dotcom.distort(() => ({ errors: [{ message: "secret words" }] }));
    const error = await client(customer)
      .searchAttribution({ snippet: "x" })
      .then(() => undefined, ConnectError.from);
    ends.dotcom.distort(undefined);
    expect(error?.code).toBe(Code.Unavailable);
    expect(error?.message).not.toContain("secret");
    expect(error?.findDetails(RetryInfoSchema)).toEqual([]);
  });
});
