import { describe, expect, it } from "vitest";
import { createDemoSams, type DemoSams } from "../../src/demo/sams.js";
import { fakeClock } from "../helpers/fake-clock.js";

const clients = { gateway: { secret: "s/e:c ret", scopes: ["read", "openid"] } };

async function started(options: { now?: () => number } = {}): Promise<DemoSams> {
  const sams = createDemoSams({ clients, ...options });
  await sams.listen();
  return sams;
}

async function post(sams: DemoSams, path: string, form: Record<string, string>, authorization?: string) {
  const answer = await fetch(sams.url + path, {
    method: "POST",
    body: new URLSearchParams(form),
    ...(authorization && { headers: { authorization } }),
  });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
}

const encode = (id: string, secret: string): string =>
  `Basic ${btoa([id, secret].map((each) => encodeURIComponent(each)).join(":"))}`;
const basic = encode("gateway", "s/e:c ret");
const form = { grant_type: "client_credentials", scope: "read" };

describe("the demo's accounts service", () => {
  it("gives a client a token, by header or form", async () => {
    await using sams = await started();

    const { status, body } = await post(sams, "/oauth/token", form, basic);
    const inForm = { ...form, client_id: "gateway", client_secret: "s/e:c ret" };

    expect(status).toBe(200);
    expect(body).toMatchObject({ token_type: "bearer", expires_in: 3_600, scope: "read" });
    expect(sams.scopesOf(String(body["access_token"]))).toEqual(["read"]);
    expect((await post(sams, "/oauth/token", inForm)).status).toBe(200);
  });

  it("refuses wrong secrets, scopes and grants", async () => {
    await using sams = await started();

    expect(await post(sams, "/oauth/token", form, encode("gateway", "x"))).toMatchObject({ status: 401 });
    expect(await post(sams, "/oauth/token", form, encode("constructor", ""))).toMatchObject({ status: 401 });
    const more = await post(sams, "/oauth/token", { ...form, scope: "read write" }, basic);
    expect(more).toMatchObject({ status: 400, body: { error: "invalid_scope" } });
    const other = await post(sams, "/oauth/token", { ...form, grant_type: "password" }, basic);
    expect(other).toMatchObject({ status: 400, body: { error: "unsupported_grant_type" } });
  });

  it("tells of tokens in force, to those who have one", async () => {
    const clock = fakeClock();
    await using sams = await started({ now: clock.now });
    const operator = sams.issue({ scopes: ["admin"], username: "ada", expiresAt: clock.now() + 60_000 });
    const own = `Bearer ${sams.issue({ scopes: ["openid"] })}`;
    const ask = async (token: string) => (await post(sams, "/oauth/introspect", { token }, own)).body;

    expect(await ask(operator)).toMatchObject({ active: true, scope: "admin", username: "ada", client_id: "demo" });
    expect(await ask("another")).toEqual({ active: false });
    await clock.advanceMs(60_000);
    expect(await ask(operator)).toEqual({ active: false });
    sams.revoke();
    expect(await post(sams, "/oauth/introspect", { token: operator }, own)).toMatchObject({ status: 401 });
  });
});
