import { describe, expect, it } from "vitest";
import type { Actor } from "../../src/actors/actor.js";
import type { Source } from "../../src/actors/source.js";
import { createSources } from "../../src/actors/sources.js";
import { createAuthenticator } from "../../src/auth/authenticate.js";
import { bearerToken } from "../../src/auth/credentials.js";

const actor: Actor = { id: "a", name: "A", source: "s", accessEnabled: true, features: {}, updatedAt: new Date(0) };

function source(name: string, prefix: string, lookup: Source["lookup"]): Source {
  return { name, kind: "test", owns: (token) => token?.startsWith(prefix) === true, lookup };
}

function authenticator(...sources: Source[]) {
  return createAuthenticator({ sources: createSources({ sources }) });
}

describe("authenticate", () => {
  it("asks the first source that owns the token, and no other", async () => {
    const first = source("first", "x", async () => ({ actor, tokens: undefined }));
    const second = source("second", "", async () => {
      throw new Error("asked");
    });
    await expect(authenticator(first, second).authenticate("x1")).resolves.toBe(actor);
  });

  it("refuses an actor whose access is disabled", async () => {
    const disabled = source("s", "x", async () => ({ actor: { ...actor, accessEnabled: false }, tokens: undefined }));
    await expect(authenticator(disabled).authenticate("x1")).rejects.toMatchObject({ reason: "ACCESS_DISABLED" });
  });

  it("tells an unknown token from a missing one, and both from a source that cannot say", async () => {
    const nobody = source("s", "x", async () => undefined);
    const away = source("s", "y", async () => {
      throw new Error("connection refused");
    });
    const { authenticate } = authenticator(nobody, away);
    await expect(authenticate(undefined)).rejects.toMatchObject({ reason: "TOKEN_MISSING" });
    await expect(authenticate("x1")).rejects.toMatchObject({ reason: "TOKEN_INVALID" });
    await expect(authenticate("z1")).rejects.toMatchObject({ reason: "TOKEN_INVALID" });
    await expect(authenticate("y1")).rejects.toMatchObject({ reason: "SOURCE_UNAVAILABLE" });
  });
});

describe("bearer tokens", () => {
  it.each([
    [undefined, undefined],
    ["Bearer abc", "abc"],
    ["bEaReR  abc ", "abc"],
    ["Bearer ", undefined],
  ])("of %j is %j", (header, token) => {
    expect(bearerToken(header)).toBe(token);
  });

  it("are not repeated when they stand in place of the scheme", () => {
    expect(() => bearerToken("slk_0123456789abcdef0123456789abcdef secret")).toThrow("invalid token type (unreadable)");
    expect(() => bearerToken("slk_secret")).toThrow("token type missing in Authorization header");
  });
});
