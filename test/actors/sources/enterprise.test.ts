import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, describe, expect, it } from "vitest";
import type { ListedEntry, Source } from "../../../src/actors/source.js";
import { createEnterpriseSource, type EnterpriseOptions } from "../../../src/actors/sources/enterprise.js";
import { createDemoPortal, type DemoPortal, type DemoPortalOptions } from "../../../src/demo/portal.js";
import { createDemoSams } from "../../../src/demo/sams.js";
import { accessOf, demoSubscriptions, demoToken, demoUuid } from "../../../src/demo/subscriptions.js";
import { createHttpCaller } from "../../../src/lib/http-caller.js";
import { clientCredentials, createTokenSource } from "../../../src/lib/oauth.js";
import { describeSource } from "../../contract/source.js";
import { fakeClock } from "../../helpers/fake-clock.js";

const { signal } = new AbortController();
const clock = fakeClock();
const burst = { percentage: 50, windowMs: 10_000 };
const open: AsyncDisposable[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((each) => each[Symbol.asyncDispose]()));
});

async function portalWith(options?: DemoPortalOptions): Promise<DemoPortal> {
  const portal = createDemoPortal(options);
  await portal.listen();
  open.push(portal);
  return portal;
}

function sourceOf(portal: DemoPortal, options: Partial<EnterpriseOptions> = {}): Source {
  const userAgent = "Cody-Gateway/test 1.2.3";
  const source = createEnterpriseSource({ clock }, { url: portal.url, protocol: "grpc", userAgent, burst, ...options });
  open.push({ [Symbol.asyncDispose]: async () => source.close?.() });
  return source;
}

async function pagesOf(source: Source): Promise<readonly (readonly ListedEntry[])[]> {
  const pages: ListedEntry[][] = [];
  for await (const { entries } of source.list?.(signal) ?? []) pages.push([...entries]);
  return pages;
}

async function entriesOf(source: Source): Promise<readonly ListedEntry[]> {
  return (await pagesOf(source)).flat();
}

for (const protocol of ["grpc", "connect"] as const) {
  describeSource(`the Enterprise Portal by ${protocol}`, async () => {
    const portal = await portalWith({ pages: true, maxPageSize: 2 });
    portal.set(demoSubscriptions(5));
    const fail = (name: string, ...fault: Parameters<DemoPortal["fail"]>) => ({
      name,
      begin: () => portal.fail(...fault),
    });
    return {
      source: sourceOf(portal, { protocol }),
      known: demoToken(demoUuid("0")),
      foreign: [undefined, "", "slk_", `slk_${"0".repeat(63)}`, `sgd_${"0".repeat(64)}`, `slk_${"g".repeat(64)}`],
      unknown: [demoToken("nobody")],
      unknownId: demoUuid("nobody"),
      outages: [
        fail("connections reset", { kind: "refuse" }),
        fail("no HTTP", { kind: "no-handshake" }),
        fail("500", { kind: "status", status: 500 }),
        fail("404", { kind: "status", status: 404 }),
        fail("401", { kind: "status", status: 401 }),
        fail("redirect", { kind: "status", status: 307, headers: { location: "http://127.0.0.1:9/steal" } }),
        fail("garbage", { kind: "garbage" }),
        // By Connect, an answer of no bytes is a message without fields.
        ...(protocol === "grpc" ? [fail("nothing", { kind: "garbage", bytes: "" })] : []),
        fail("broken off", { kind: "cut" }),
        {
          name: "an error that repeats the token",
          begin: () => portal.failWith(new ConnectError(`no ${demoToken(demoUuid("0"))}`, Code.Internal)),
        },
      ],
      mend() {
        portal.heal();
        portal.failWith(undefined);
      },
    };
  });
}

describe("the Enterprise Portal", () => {
  it("tells of a subscription as an actor", async () => {
    const portal = await portalWith();
    const id = demoUuid("acme");
    const limits = { chat: [500, 86_400], code: [3, 3_600], embeddings: [200_000_000, 30 * 86_400] } as const;
    portal.set({ id, name: "  Acme\n Inc ", tokens: [demoToken("a"), demoToken("b")], ...limits });

    expect(await sourceOf(portal).lookup(demoToken("b"), signal)).toEqual({
      actor: {
        id,
        name: "Acme  Inc",
        source: "dotcom-product-subscriptions",
        accessEnabled: true,
        features: {
          chat_completions: {
            limits: [
              { amount: 500, unit: "requests", windowMs: 86_400_000 },
              { amount: 250, unit: "requests", windowMs: 10_000, burst: true },
            ],
            models: ["*"],
          },
          code_completions: {
            limits: [
              { amount: 3, unit: "requests", windowMs: 3_600_000 },
              { amount: 36, unit: "requests", windowMs: 10_000, burst: true },
            ],
            models: ["*"],
          },
          embeddings: {
            limits: [
              { amount: 200_000_000, unit: "tokens", windowMs: 2_592_000_000 },
              { amount: 3_333_333, unit: "requests", windowMs: 10_000, burst: true },
            ],
            models: ["*"],
          },
        },
        updatedAt: new Date(clock.now()),
      },
      tokens: [demoToken("a"), demoToken("b")],
    });
  });

  it("takes the older spelling of a token, and digits of any case", async () => {
    const portal = await portalWith();
    portal.set({ id: demoUuid("acme") });
    const token = demoToken(demoUuid("acme"));
    const source = sourceOf(portal);

    for (const spelt of [token.replace("slk_", "sgs_"), `slk_${token.slice(4).toUpperCase()}`]) {
      expect(source.owns(spelt)).toBe(true);
      expect(await source.lookup(spelt, signal)).toMatchObject({ actor: { id: demoUuid("acme") }, tokens: [token] });
    }
  });

  it.each<[string, object, object]>([
    ["without a name", { subscriptionDisplayName: "" }, { name: demoUuid("acme"), accessEnabled: true }],
    ["without access", { enabled: false }, { accessEnabled: false }],
    ["without limits", { chatCompletionsRateLimit: undefined }, { features: {} }],
    ["with limits of 0", { chatCompletionsRateLimit: { limit: 0n } }, { features: {} }],
    [
      "with an amount as large as can be counted",
      { chatCompletionsRateLimit: { limit: 2n ** 53n - 1n, intervalDuration: { seconds: 1n } } },
      { features: { chat_completions: { limits: [{ amount: 2 ** 53 - 1 }, { amount: 2 ** 53 - 1 }] } } },
    ],
    [
      "with an interval of fractions",
      { chatCompletionsRateLimit: { limit: 5n, intervalDuration: { seconds: 1n, nanos: 500_000_000 } } },
      { features: { chat_completions: { limits: [{ windowMs: 1_500 }, {}] } } },
    ],
  ])("tells of one %s", async (_, access, actor) => {
    const portal = await portalWith();
    const plain = { id: demoUuid("acme"), chat: undefined, code: undefined, embeddings: undefined };
    portal.setAccess({ ...accessOf(plain), ...access });

    expect(await entriesOf(sourceOf(portal))).toMatchObject([{ kind: "actor", actor }]);
  });

  it.each<[string, object, string | undefined, string]>([
    ["no id", { subscriptionId: "" }, undefined, "its id is not one"],
    ["nothing but the prefix as id", { subscriptionId: "es_" }, undefined, "its id is not one"],
    ["an id with spaces", { subscriptionId: "es_a b" }, undefined, "its id is not one"],
    ["an id without end", { subscriptionId: "a".repeat(10_000) }, undefined, "its id is not one"],
    ["__proto__ as id", { subscriptionId: "__proto__" }, undefined, "its id is not one"],
    ["a token that is none", { accessTokens: [{ token: "slk_1" }] }, "id", "one of its tokens is not one"],
    [
      "a limit without interval",
      { chatCompletionsRateLimit: { limit: 5n } },
      "id",
      "the chat limit has no usable interval",
    ],
    [
      "an interval of less than nothing",
      { codeCompletionsRateLimit: { limit: 5n, intervalDuration: { seconds: -60n } } },
      "id",
      "the code limit has no usable interval",
    ],
    [
      "an interval of ages",
      { embeddingsRateLimit: { limit: 5n, intervalDuration: { seconds: 2n ** 40n } } },
      "id",
      "the embeddings limit has no usable interval",
    ],
    [
      "an amount of less than nothing, as older portals would send it",
      { chatCompletionsRateLimit: { limit: 2n ** 64n - 1n, intervalDuration: { seconds: 60n } } },
      "id",
      "the chat limit is no amount",
    ],
  ])("leaves out a subscription with %s, and lists the others", async (_, access, id, problem) => {
    const portal = await portalWith();
    portal.set(demoSubscriptions(1));
    portal.setAccess({ ...accessOf({ id: "id" }), ...access });
    portal.set({ id: demoUuid("last") });

    const entries = await entriesOf(sourceOf(portal));

    expect(entries).toMatchObject([{ kind: "actor" }, { kind: "invalid", id, problem }, { kind: "actor" }]);
    expect(entries[1]).toHaveProperty("id", id);
  });

  it("cannot say whose a token is when what it is told of it makes no sense", async () => {
    const portal = await portalWith();
    portal.set({ id: "id", chat: [5, 0] });
    const source = sourceOf(portal);
    const message =
      "Enterprise Portal told of a subscription that makes no sense: the chat limit has no usable interval";

    await expect(source.lookup(demoToken("id"), signal)).rejects.toMatchObject({ message, ofActor: true });
    await expect(source.lookupId?.("id", signal)).rejects.toMatchObject({ message, ofActor: true });
  });

  it("leaves out an entry that cannot be decoded, and says whose it is where it can", async () => {
    const portal = await portalWith();
    portal.set(demoSubscriptions(1));
    const idAlone = [0x0a, 3, ...Buffer.from("abc")];
    const spoilt = [
      // Field 6, a token, is cut short.
      [...idAlone, 0x32, 0x7f, 1],
      // Field 2, enabled, is a text: read as a number, then what follows is nonsense.
      [...idAlone, 0x12, 0x02, 0xff, 0xff],
      // The id is no UTF-8.
      [0x0a, 2, 0xff, 0xfe],
      [0xff, 0xff, 0xff],
    ];
    portal.distort((page) => {
      const entries = spoilt.map((bytes) => ({ no: 2, wireType: 2, data: Uint8Array.of(bytes.length, ...bytes) }));
      page.$unknown = entries;
    });

    expect(await entriesOf(sourceOf(portal))).toMatchObject([
      { kind: "actor" },
      { kind: "invalid", id: "abc", problem: "it cannot be decoded" },
      { kind: "invalid", id: "abc", problem: "it cannot be decoded" },
      { kind: "invalid", id: undefined },
      { kind: "invalid", id: undefined },
    ]);
  });

  it("is asked for pages, and for all at once where it cannot page", async () => {
    const paging = await portalWith({ pages: true });
    const old = await portalWith();
    for (const portal of [paging, old]) portal.set(demoSubscriptions(620));

    const paged = await pagesOf(sourceOf(paging, { pageSize: 200 }));
    const whole = await pagesOf(sourceOf(old, { pageSize: 200 }));

    expect(paged.map(({ length }) => length)).toEqual([200, 200, 200, 20]);
    expect(paging.calls).toHaveLength(4);
    expect(whole.every(({ length }) => length <= 200)).toBe(true);
    expect(whole.flat()).toHaveLength(620);
    expect(old.calls.map(({ request }) => request)).toMatchObject([{ pageSize: 200 }, { pageSize: 0, pageToken: "" }]);
  });

  it("does not take a listing for complete that breaks off between its pages", async () => {
    const portal = await portalWith({ pages: true });
    portal.set(demoSubscriptions(10));
    const source = sourceOf(portal, { pageSize: 4 });
    let seen = 0;

    await expect(async () => {
      for await (const { entries } of source.list?.(signal) ?? []) {
        seen += [...entries].length;
        portal.fail({ kind: "status", status: 500 });
      }
    }).rejects.toThrow("Enterprise Portal answered with");
    // The second page may have been asked for before.
    expect([4, 8]).toContain(seen);
  });

  it("does not follow a listing that goes in circles", async () => {
    const portal = await portalWith({ pages: true });
    portal.set(demoSubscriptions(2));
    portal.distort((page) => {
      page.nextPageToken = `es_${demoUuid("1")}`;
    });

    await expect(entriesOf(sourceOf(portal))).rejects.toThrow("a listing that does not end");
  });

  it("is given up when it does not answer in time, and has time for pages", async () => {
    const portal = await portalWith();
    portal.set(demoSubscriptions(1));
    const source = sourceOf(portal, { lookupTimeoutMs: 100, listTimeoutMs: 100 });
    portal.fail({ kind: "hang" });

    await expect(source.lookup(demoToken(demoUuid("0")), signal)).rejects.toThrow(
      "Enterprise Portal did not answer in time",
    );
    await expect(entriesOf(source)).rejects.toThrow("Enterprise Portal did not answer in time");

    portal.heal();
    portal.fail({ kind: "slow", delayMs: 200 });
    expect(await entriesOf(sourceOf(portal))).toHaveLength(1);
  });

  it("is given up when whoever asks gives up", async () => {
    const portal = await portalWith();
    portal.fail({ kind: "hang" });
    const reason = new Error("enough");
    const controller = new AbortController();
    const asked = sourceOf(portal).lookup(demoToken("any"), controller.signal);
    controller.abort(reason);

    await expect(asked).rejects.toBe(reason);
  });

  it("is asked anew when a connection that was kept is gone", async () => {
    const portal = await portalWith();
    portal.set(demoSubscriptions(1));
    const { port } = new URL(portal.url);
    for (const protocol of ["grpc", "connect"] as const) {
      const source = sourceOf(portal, { protocol });
      await source.lookup(demoToken(demoUuid("0")), signal);
      await portal.close();
      await portal.listen(Number(port));

      expect(await source.lookup(demoToken(demoUuid("0")), signal)).toBeDefined();
    }
  });

  it("hears who asks", async () => {
    const portal = await portalWith();
    await sourceOf(portal).lookup(demoToken("any"), signal);
    await sourceOf(portal, { protocol: "connect" }).lookup(demoToken("any"), signal);

    expect(portal.calls).toMatchObject([
      { protocol: "grpc", userAgent: "Cody-Gateway/test 1.2.3", authorization: undefined },
      { protocol: "connect", userAgent: "Cody-Gateway/test 1.2.3" },
    ]);
  });
});

describe("with tokens of the accounts service", () => {
  const scopes = ["enterprise_portal::codyaccess::read", "enterprise_portal::subscription::read"];
  const secret = "secret-of-the-gateway";

  async function withSams(given = secret) {
    const sams = createDemoSams({ clients: { gateway: { secret, scopes } }, now: clock.now });
    await sams.listen();
    const caller = createHttpCaller("SAMS");
    open.push(sams, { [Symbol.asyncDispose]: () => caller.close() });
    const credentials = { tokenUrl: `${sams.url}/oauth/token`, clientId: "gateway", clientSecret: given, scopes };
    const tokens = createTokenSource({ ask: clientCredentials(caller, credentials), clock }, { service: "SAMS" });
    const portal = await portalWith({ scopesOf: sams.scopesOf });
    portal.set(demoSubscriptions(1));
    const options = { url: portal.url, protocol: "grpc", userAgent: "test", burst } as const;
    const source = createEnterpriseSource({ clock, tokens }, options);
    open.push({ [Symbol.asyncDispose]: async () => source.close?.() });
    return { sams, portal, source };
  }

  it("shows the portal one token, call after call", async () => {
    const { sams, portal, source } = await withSams();
    await source.lookup(demoToken(demoUuid("0")), signal);
    await entriesOf(source);

    expect(sams.calls).toHaveLength(1);
    expect(new Set(portal.calls.map(({ authorization }) => authorization)).size).toBe(1);
  });

  it("gets another one when its token was revoked, without the caller noticing", async () => {
    const { sams, source } = await withSams();
    await source.lookup(demoToken(demoUuid("0")), signal);
    await clock.advanceMs(1_000);
    sams.revoke();

    expect(await source.lookup(demoToken(demoUuid("0")), signal)).toBeDefined();
    expect(sams.calls).toHaveLength(2);
  });

  it("says that it is the accounts service that cannot be asked", async () => {
    const { sams, source } = await withSams();
    sams.fail({ kind: "status", status: 503 });

    await expect(source.lookup(demoToken(demoUuid("0")), signal)).rejects.toThrow(/^SAMS gave no token \(503\)$/);
    const { source: wrong } = await withSams("not-the-secret");
    await expect(entriesOf(wrong)).rejects.toThrow(/^SAMS gave no token \(401: invalid_client\)$/);
  });
});
