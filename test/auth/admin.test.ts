import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { createAdminAuthenticator, type Introspect } from "../../src/auth/admin.js";
import { fakeClock } from "../helpers/fake-clock.js";

const sha256 = (token: string): string => createHash("sha256").update(token).digest("hex");
const tokens = [
  { name: "ada", role: "operator", sha256: sha256("token of ada") },
  { name: "bob", role: "viewer", sha256: sha256("token of bob") },
] as const;

/** An introspection that counts how often it is asked. */
function introspection(answers: Readonly<Record<string, readonly string[] | Error>>) {
  const asked: string[] = [];
  const introspect: Introspect = async (token) => {
    asked.push(token);
    const scopes = answers[token];
    if (scopes instanceof Error) throw scopes;
    return { active: scopes !== undefined, scopes: scopes ?? [], clientId: "client-1" };
  };
  return { asked, introspect };
}

describe("admin credentials", () => {
  it("are the tokens of the configuration, with their names and roles", async () => {
    const admins = createAdminAuthenticator({ clock: fakeClock() }, { tokens });

    expect(await admins.authenticate("token of ada")).toEqual({
      name: "ada",
      roles: ["viewer", "operator", "reviewer"],
    });
    expect(await admins.authenticate("token of bob")).toEqual({ name: "bob", roles: ["viewer"] });
    await expect(admins.authenticate("token of eve")).rejects.toMatchObject({ reason: "TOKEN_INVALID" });
    await expect(admins.authenticate(undefined)).rejects.toMatchObject({ reason: "TOKEN_MISSING" });
  });

  it("are SAMS tokens with the scope of a role, and no others", async () => {
    const { introspect } = introspection({
      reader: ["openid", "cody_gateway::actors::read"],
      writer: ["cody_gateway::actors::read", "cody_gateway::actors::write"],
      reviewer: ["cody_gateway::flaggedprompts::read"],
      stranger: ["cody_gateway::flaggedprompts", "cody_gateway::workspaces"],
    });
    const admins = createAdminAuthenticator({ clock: fakeClock(), introspect }, { tokens });

    expect(await admins.authenticate("reader")).toMatchObject({ name: "client-1", roles: ["viewer"] });
    const { roles } = await admins.authenticate("writer");
    expect(roles).toContain("operator");
    expect(roles).not.toContain("reviewer");
    expect(await admins.authenticate("reviewer")).toEqual({ name: "client-1", roles: ["reviewer"] });
    await expect(admins.authenticate("stranger")).rejects.toMatchObject({ reason: "ROLE_MISSING" });
    await expect(admins.authenticate("inactive")).rejects.toMatchObject({ reason: "TOKEN_INVALID" });
  });

  it("of SAMS are asked for once by all calls of a while, and anew after it", async () => {
    const clock = fakeClock();
    const { asked, introspect } = introspection({ reader: ["cody_gateway::actors::read"] });
    const admins = createAdminAuthenticator({ clock, introspect }, { tokens, introspectionMs: 1_000 });

    await Promise.all(Array.from({ length: 20 }, () => admins.authenticate("reader")));
    expect(asked).toEqual(["reader"]);

    await clock.advanceMs(1_001);
    await admins.authenticate("reader");
    expect(asked).toEqual(["reader", "reader"]);
  });

  it("of SAMS are no wrong ones while SAMS is away, and no token of the configuration waits for it", async () => {
    const { asked, introspect } = introspection({ reader: new Error("connection refused") });
    const admins = createAdminAuthenticator({ clock: fakeClock(), introspect }, { tokens });

    for (let time = 1; time <= 2; time++) {
      await expect(admins.authenticate("reader")).rejects.toMatchObject({ reason: "SOURCE_UNAVAILABLE" });
      expect(asked).toHaveLength(time);
    }
    expect(await admins.authenticate("token of ada")).toMatchObject({ name: "ada" });
    expect(asked).toHaveLength(2);
  });
});
