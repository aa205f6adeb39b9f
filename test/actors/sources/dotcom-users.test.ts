import { afterEach, describe, expect, it } from "vitest";
import type { Source } from "../../../src/actors/source.js";
import { createDotcomUsersSource } from "../../../src/actors/sources/dotcom-users.js";
import { createDemoDotcom, type DemoDotcom, userToken } from "../../../src/demo/dotcom.js";
import { createGraphqlClient } from "../../../src/lib/graphql.js";
import { createHttpCaller } from "../../../src/lib/http-caller.js";
import { describeSource } from "../../contract/source.js";
import { fakeClock } from "../../helpers/fake-clock.js";

const { signal } = new AbortController();
const clock = fakeClock();
const open: AsyncDisposable[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((each) => each[Symbol.asyncDispose]()));
});

async function startedDotcom(): Promise<DemoDotcom> {
  const dotcom = createDemoDotcom({ accessToken: "sgp_of_the_gateway" });
  await dotcom.listen();
  open.push(dotcom);
  return dotcom;
}

function sourceOf(dotcom: DemoDotcom, { timeoutMs = 20_000, accessToken = "sgp_of_the_gateway" } = {}): Source {
  const graphql = createGraphqlClient(
    { caller: createHttpCaller("Sourcegraph.com", { timeoutMs, maxBytes: 64 * 1024 }) },
    {
      service: "Sourcegraph.com",
      apiUrl: dotcom.apiUrl,
      accessToken,
      clientId: "client-of-the-gateway",
      userAgent: "Cody-Gateway/test 1.2.3",
    },
  );
  const source = createDotcomUsersSource(
    { clock, graphql },
    { burst: { percentage: 50, windowMs: 10_000 }, coolDownMs: 300_000 },
  );
  open.push({ [Symbol.asyncDispose]: async () => source.close?.() });
  return source;
}

describeSource("Sourcegraph.com", async () => {
  const dotcom = await startedDotcom();
  dotcom.set([
    { id: 42, username: "ada" },
    { id: 43, username: "bob" },
  ]);
  const fail = (name: string, ...fault: Parameters<DemoDotcom["fail"]>) => ({
    name,
    begin: () => dotcom.fail(...fault),
  });
  const say = (name: string, answer: unknown) => ({ name, begin: () => dotcom.distort(() => answer) });
  const user = (value: unknown) => ({ data: { dotcom: { codyGatewayDotcomUserByToken: value } } });
  return {
    source: sourceOf(dotcom),
    known: userToken(42),
    foreign: [undefined, "", "sgd_", `sgd_${"0".repeat(63)}`, `slk_${"0".repeat(64)}`, "sgp_0123456789abcdef"],
    unknown: [userToken(1)],
    outages: [
      fail("connections reset", { kind: "refuse" }),
      fail("no HTTP", { kind: "no-handshake" }),
      fail("500", { kind: "status", status: 500 }),
      fail("401", { kind: "status", status: 401 }),
      fail("redirect", { kind: "status", status: 302, headers: { location: "http://127.0.0.1:9/steal" } }),
      fail("a page in place of JSON", { kind: "garbage", bytes: "<html></html>" }),
      fail("more than is taken", { kind: "garbage", bytes: `"${"a".repeat(70_000)}"` }),
      fail("broken off", { kind: "cut", bytes: '{"data":' }),
      say("no data", {}),
      say("no object", []),
      say("null", null),
      say("data of null", { data: null }),
      say("nobody, without saying so", user(null)),
      say("another error", { errors: [{ message: userToken(42), extensions: { code: "ErrRateLimited" } }] }),
      say("an error without a code", { errors: [{ message: userToken(42) }, null, 7], ...user(null) }),
      say("no fields", user({})),
      say("a list", user([])),
    ],
    mend() {
      dotcom.heal();
      dotcom.distort(undefined);
    },
  };
});

describe("Sourcegraph.com", () => {
  it("tells of a user as an actor, by each of its tokens", async () => {
    const dotcom = await startedDotcom();
    const embeddings = {
      limit: 10_000_000,
      intervalSeconds: 30 * 86_400,
      allowedModels: ["openai/text-embedding-ada-002"],
    };
    dotcom.set({ id: 42, username: "ada", tokens: [userToken(42), userToken(42, 1)], embeddings });
    const source = sourceOf(dotcom);

    const found = await source.lookup(userToken(42, 1), signal);
    expect(found).toEqual({
      actor: {
        id: "42",
        name: "ada",
        source: "dotcom-user",
        accessEnabled: true,
        features: {
          chat_completions: {
            limits: [
              { amount: 50, unit: "requests", windowMs: 86_400_000 },
              { amount: 25, unit: "requests", windowMs: 10_000, burst: true },
            ],
            models: ["anthropic/claude-3-haiku-20240307", "openai/gpt-4o"],
          },
          code_completions: {
            limits: [
              { amount: 1_000, unit: "requests", windowMs: 86_400_000 },
              { amount: 500, unit: "requests", windowMs: 10_000, burst: true },
            ],
            models: ["*"],
          },
          embeddings: {
            limits: [
              { amount: 10_000_000, unit: "tokens", windowMs: 2_592_000_000 },
              { amount: 166_666, unit: "requests", windowMs: 10_000, burst: true },
            ],
            models: ["openai/text-embedding-ada-002"],
          },
        },
        updatedAt: new Date(clock.now()),
      },
      tokens: undefined,
    });
    expect(await source.lookup(`sgd_${userToken(42).slice(4).toUpperCase()}`, signal)).toEqual(found);
  });

  it.each<[string, object, object]>([
    ["that may not use the gateway", { enabled: false }, { accessEnabled: false }],
    [
      "banned by a limit of 1",
      { chat: { limit: "1", intervalSeconds: 86_400, allowedModels: ["*"] } },
      { accessEnabled: false },
    ],
    ["without limits", { chat: null, code: null }, { accessEnabled: true, features: {} }],
    [
      "with a limit of 0",
      { chat: { limit: 0, intervalSeconds: null, allowedModels: [] }, code: null },
      { features: {} },
    ],
    ["without models", { chat: { limit: 9, intervalSeconds: 60, allowedModels: [] }, code: null }, { features: {} }],
  ])("tells of a user %s", async (_, user, actor) => {
    const dotcom = await startedDotcom();
    dotcom.set({ id: 42, username: "ada", ...user });

    expect((await sourceOf(dotcom).lookup(userToken(42), signal))?.actor).toMatchObject(actor);
  });

  const usual = { limit: 5, intervalSeconds: 60, allowedModels: ["*"] };
  it.each<[string, unknown, string]>([
    ["a negative amount", { ...usual, limit: -5 }, "chatCompletionsRateLimit is no amount"],
    ["an amount with a fraction", { ...usual, limit: 1.5 }, "chatCompletionsRateLimit is no amount"],
    ["an amount beyond counting", { ...usual, limit: "99999999999999999999" }, "chatCompletionsRateLimit is no amount"],
    ["an amount that is a text", { ...usual, limit: "many" }, "chatCompletionsRateLimit is no amount"],
    ["no amount", { ...usual, limit: null }, "chatCompletionsRateLimit is no amount"],
    ["no interval", { ...usual, intervalSeconds: null }, "chatCompletionsRateLimit has no usable interval"],
    ["a negative interval", { ...usual, intervalSeconds: -1 }, "chatCompletionsRateLimit has no usable interval"],
    ["a list of no models", { ...usual, allowedModels: null }, "chatCompletionsRateLimit has no list of models"],
    ["models that are numbers", { ...usual, allowedModels: [1] }, "chatCompletionsRateLimit has no list of models"],
  ])("cannot say what a user may do with %s", async (_, chat, message) => {
    const dotcom = await startedDotcom();
    dotcom.distort(() => ({
      data: {
        dotcom: {
          codyGatewayDotcomUserByToken: {
            id: "VXNlcjo0Mg==",
            username: "ada",
            codyGatewayAccess: { enabled: true, chatCompletionsRateLimit: chat },
          },
        },
      },
    }));

    const asked = sourceOf(dotcom).lookup(userToken(42), signal);
    const told = `Sourcegraph.com told of a user that makes no sense: ${message}`;
    await expect(asked).rejects.toMatchObject({ message: expect.stringContaining(told) as string, ofActor: true });
  });

  it.each([
    "",
    "VXNlcjo=",
    btoa("User:0"),
    btoa("User:-1"),
    btoa("User:1e3"),
    btoa("Org:42"),
    btoa("User:42 "),
    42,
    null,
  ])("knows nobody of the id %j", async (id) => {
    const dotcom = await startedDotcom();
    dotcom.distort(() => ({
      data: { dotcom: { codyGatewayDotcomUserByToken: { id, username: "x", codyGatewayAccess: { enabled: true } } } },
    }));

    await expect(sourceOf(dotcom).lookup(userToken(42), signal)).rejects.toThrow("its id is not one");
  });

  it("hears who asks, and which operation it is", async () => {
    const dotcom = await startedDotcom();
    await sourceOf(dotcom).lookup(userToken(42), signal);

    expect(dotcom.calls).toMatchObject([
      {
        operation: "CheckDotcomUserAccessToken",
        variables: { token: userToken(42) },
        headers: {
          authorization: "token sgp_of_the_gateway",
          "user-agent": "Cody-Gateway/test 1.2.3",
          "x-sourcegraph-client-id": "client-of-the-gateway",
        },
      },
    ]);
  });

  it("says that it was given a wrong access token", async () => {
    const source = sourceOf(await startedDotcom(), { accessToken: "wrong" });

    await expect(source.lookup(userToken(42), signal)).rejects.toThrow("Sourcegraph.com answered with 401");
  });

  it("is given up when it does not answer in time, or whoever asks gives up", async () => {
    const dotcom = await startedDotcom();
    dotcom.fail({ kind: "hang" });
    const reason = new Error("enough");
    const controller = new AbortController();
    const asked = sourceOf(dotcom).lookup(userToken(42), controller.signal);
    controller.abort(reason);

    await expect(asked).rejects.toBe(reason);
    const hurried = sourceOf(dotcom, { timeoutMs: 50 });
    await expect(hurried.lookup(userToken(42), signal)).rejects.toThrow("Sourcegraph.com did not answer in time");
  });
});
