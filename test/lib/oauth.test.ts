import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { createDemoSams } from "../../src/demo/sams.js";
import { createHttpCaller } from "../../src/lib/http-caller.js";
import { clientCredentials, createTokenSource, introspect } from "../../src/lib/oauth.js";
import { fakeClock } from "../helpers/fake-clock.js";

const secret = "secret:with/odd characters+";
const clock = fakeClock();
const sams = createDemoSams({
  clients: { gateway: { secret, scopes: ["read", "openid"] } },
  now: clock.now,
  lifetimeMs: 600_000,
});
await sams.listen();
const caller = createHttpCaller("SAMS", { timeoutMs: 20_000, maxBytes: 64 * 1024 });
const hurried = createHttpCaller("SAMS", { timeoutMs: 100 });
afterAll(async () => {
  await Promise.all([caller.close(), hurried.close()]);
  await sams.close();
});
beforeEach(() => {
  sams.heal();
  sams.clear();
});

const credentials = () => ({
  tokenUrl: `${sams.url}/oauth/token`,
  clientId: "gateway",
  clientSecret: secret,
  scopes: ["read", "openid"],
});
const tokens = (changed: Partial<ReturnType<typeof credentials>> = {}, by = caller) =>
  createTokenSource({ ask: clientCredentials(by, { ...credentials(), ...changed }), clock }, { service: "SAMS" });

describe("a source of tokens", () => {
  it("gets one token for all that ask at the same time, and keeps it", async () => {
    const source = tokens();
    const got = await Promise.all(Array.from({ length: 20 }, () => source.get()));

    expect(new Set([...got, await source.get()]).size).toBe(1);
    expect(sams.calls).toHaveLength(1);
    expect(sams.scopesOf(got[0] ?? "")).toEqual(["read", "openid"]);
  });

  it("gets the next one before the token ends, and goes on with the old one meanwhile", async () => {
    const source = tokens();
    const first = await source.get();
    await clock.advanceMs(545_000);

    expect(await source.get()).toBe(first);
    await sams.waitFor(() => sams.calls.length === 2);
    await expect.poll(() => source.get()).not.toBe(first);
  });

  it("goes on with a token in force while the service is away, and asks no more often than each second", async () => {
    const source = tokens();
    const first = await source.get();
    await clock.advanceMs(545_000);
    sams.fail({ kind: "status", status: 500 });

    expect(await source.get()).toBe(first);
    expect(await source.get()).toBe(first);
    await clock.advanceMs(60_000);
    await expect(source.get()).rejects.toThrow("SAMS gave no token (500)");
    await expect(source.get()).rejects.toThrow("SAMS gave no token (500)");

    sams.heal();
    await clock.advanceMs(1_000);
    expect(await source.get()).not.toBe(first);
  });

  it("gets another one when one is refused, unless it has only just come", async () => {
    const source = tokens();
    const first = await source.get();
    source.refused(first);
    expect(await source.get()).toBe(first);

    await clock.advanceMs(1_000);
    source.refused("another");
    expect(await source.get()).toBe(first);
    source.refused(first);
    expect(await source.get()).not.toBe(first);
  });

  it("goes on at once after the clock was set back, with a failure and with a token that is refused", async () => {
    const source = tokens();
    sams.fail({ kind: "status", status: 500 });
    await expect(source.get()).rejects.toThrow("SAMS gave no token (500)");
    sams.heal();
    await clock.advanceMs(-3_600_000);
    const first = await source.get();

    await clock.advanceMs(-3_600_000);
    source.refused(first);
    expect(await source.get()).not.toBe(first);
  });

  it.each([
    ["a wrong secret", { clientSecret: "wrong" }, "SAMS gave no token (401: invalid_client)"],
    ["a scope that it may not have", { scopes: ["write"] }, "SAMS gave no token (400: invalid_scope)"],
  ])("says what is wrong with %s", async (_, changed, message) => {
    await expect(tokens(changed).get()).rejects.toThrow(message);
  });

  it.each([
    [{ kind: "refuse" }, /^SAMS cannot be reached \((ECONNRESET|EPIPE|UND_ERR_SOCKET)\)$/],
    [{ kind: "no-handshake" }, /^SAMS (broke off its answer|answered with what is not HTTP|cannot be reached \(.*\))$/],
    [{ kind: "hang" }, /^SAMS did not answer in time$/],
    [{ kind: "slow", delayMs: 10_000 }, /^SAMS did not answer in time$/],
    [{ kind: "status", status: 502 }, /^SAMS gave no token \(502\)$/],
    [
      { kind: "status", status: 307, headers: { location: "http://127.0.0.1:1/steal" } },
      /^SAMS gave no token \(307\)$/,
    ],
    [{ kind: "garbage" }, /^SAMS gave no bearer token$/],
    [{ kind: "garbage", bytes: "null" }, /^SAMS gave no bearer token$/],
    [{ kind: "garbage", bytes: '{"access_token":"a b","expires_in":60}' }, /^SAMS gave no bearer token$/],
    [{ kind: "garbage", bytes: '{"access_token":"a","token_type":"mac"}' }, /^SAMS gave no bearer token$/],
    [{ kind: "garbage", bytes: " ".repeat(70_000) }, /^SAMS answered with more than is taken$/],
    [{ kind: "cut" }, /^SAMS (broke off its answer|cannot be reached \(.*\))$/],
  ] as const)("says what is wrong, without anything secret (%#)", async (fault, message) => {
    sams.fail(fault);
    const waits = fault.kind === "hang" || fault.kind === "slow";
    const error = await tokens({}, waits ? hurried : caller)
      .get()
      .catch((reason: unknown) => reason as Error);

    expect(error).toBeInstanceOf(Error);
    expect((error as Error).message).toMatch(message);
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain("odd");
  });

  it.each([["0"], ["-5"], ['"soon"'], ["null"], ["1e300"]])(
    "takes a lifetime of %s for a short one",
    async (lifetime) => {
      sams.fail({ kind: "garbage", bytes: `{"access_token":"abc","expires_in":${lifetime}}` }, { times: 1 });
      const source = tokens();
      expect(await source.get()).toBe("abc");
      await clock.advanceMs(200_000);
      expect(await source.get()).toBe("abc");
      await clock.advanceMs(200_000);
      expect(await source.get()).not.toBe("abc");
    },
  );
});

describe("introspection", () => {
  const ask = (token: string, source = tokens()) =>
    introspect({ caller, tokens: source }, { service: "SAMS", introspectUrl: `${sams.url}/oauth/introspect` }, token);

  it("says who is behind a token, and what it may be used for", async () => {
    const token = sams.issue({ scopes: ["admin", "read"], username: "ada", clientId: "console" });

    expect(await ask(token)).toEqual({
      active: true,
      scopes: ["admin", "read"],
      clientId: "console",
      username: "ada",
      expiresAt: clock.now() + 600_000,
    });
    expect(await ask("another")).toEqual({ active: false });
  });

  it("gets itself another token when its own is worth nothing any more", async () => {
    const source = tokens();
    await ask("another", source);
    sams.revoke();
    await clock.advanceMs(1_000);

    expect(await ask("another", source)).toEqual({ active: false });
  });

  it.each(["[]", "null", "{}", '{"active":"true"}', '{"active":1}', "garbage"])("makes nothing of %s", async (body) => {
    const source = tokens();
    await source.get();
    sams.fail({ kind: "garbage", bytes: body });

    await expect(ask("another", source)).rejects.toThrow("SAMS did not say what a token is worth");
  });
});
