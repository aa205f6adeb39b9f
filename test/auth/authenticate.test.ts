import { describe, expect, it } from "vitest";
import type { Actor } from "../../src/actors/actor.js";
import { createAuthenticator } from "../../src/auth/authenticate.js";
import { bearerToken } from "../../src/auth/credentials.js";
import { UnauthenticatedError } from "../../src/errors.js";
import { makeActor } from "../helpers/make-actor.js";

function authenticator(find: (token: string | undefined) => Promise<Actor>) {
  const refused: string[] = [];
  const sources = {
    find,
    knows: (token: string | undefined) => token === "known",
    refused: ({ source, id }: Pick<Actor, "source" | "id">) => void refused.push(`${source}/${id}`),
  };
  return { ...createAuthenticator({ sources }), refused };
}

describe("authenticate", () => {
  it("gives the actor that the sources find", async () => {
    const actor = makeActor();
    const { authenticate, refused } = authenticator(async (token) =>
      token === "x" ? actor : makeActor({ id: "other" }),
    );

    expect(await authenticate("x")).toBe(actor);
    expect(refused).toEqual([]);
  });

  it("refuses an actor whose access is disabled, and says so to the sources", async () => {
    const { authenticate, refused } = authenticator(async () => makeActor({ accessEnabled: false }));

    await expect(authenticate("x")).rejects.toMatchObject({ reason: "ACCESS_DISABLED" });
    expect(refused).toEqual(["static/acme"]);
  });

  it("passes on why there is no actor", async () => {
    const error = new UnauthenticatedError("TOKEN_INVALID", "nobody's");
    const { authenticate } = authenticator(async () => Promise.reject(error));

    await expect(authenticate("x")).rejects.toBe(error);
  });
});

describe("turns", () => {
  it("are those of strangers, a few at a time; who is known needs none", async () => {
    const { turnOf } = authenticator(async () => makeActor());
    const passed: number[] = [];
    const waiting = Array.from({ length: 10 }, (_, at) => turnOf("strange")?.then(() => passed.push(at)));

    expect(waiting.slice(0, 4)).toEqual([undefined, undefined, undefined, undefined]);
    expect(turnOf("known")).toBeUndefined();
    await Promise.resolve();
    expect(passed).toEqual([]);
    await Promise.all(waiting.filter((turn) => turn !== undefined));
    expect(passed).toEqual([4, 5, 6, 7, 8, 9]);
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
