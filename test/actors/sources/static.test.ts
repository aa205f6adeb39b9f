import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { Actor } from "../../../src/actors/actor.js";
import { createStaticSource, type StaticActor } from "../../../src/actors/sources/static.js";
import { createTokenHasher } from "../../../src/actors/token.js";
import { describeSource } from "../../contract/source.js";

const { signal } = new AbortController();
const hasher = createTokenHasher("pepper");

function staticActor(id: string, ...tokens: string[]): StaticActor {
  const actor: Actor = {
    id,
    name: id,
    source: "static",
    accessEnabled: true,
    features: {
      chat_completions: { limits: [{ amount: 5, unit: "requests", windowMs: 60_000 }], inFlight: 2, models: ["*"] },
    },
    updatedAt: new Date(0),
  };
  return { actor, tokenSha256: tokens.map((token) => createHash("sha256").update(token).digest("hex")) };
}

describeSource("static", async () => ({
  source: createStaticSource({ hasher }, [staticActor("acme", "a token of the company Acme")]),
  known: "a token of the company Acme",
  foreign: [undefined, "", "another token of some company", `slk_${"0".repeat(64)}`],
  unknown: ["another token of some company"],
}));

describe("static source", () => {
  it("knows an actor by each of its tokens", async () => {
    const source = createStaticSource({ hasher }, [
      staticActor("acme", "first token of twenty", "second token of twenty"),
      staticActor("other", "some token of another company"),
    ]);

    expect(await source.lookup("first token of twenty", signal)).toMatchObject({ actor: { id: "acme" } });
    expect(await source.lookup("second token of twenty", signal)).toMatchObject({ actor: { id: "acme" } });
    expect(await source.lookup("some token of another company", signal)).toMatchObject({ actor: { id: "other" } });
  });

  it("does not know tokens under 20 characters, even when one was configured", () => {
    const source = createStaticSource({ hasher }, [staticActor("acme", "x".repeat(19), "x".repeat(20))]);

    expect(source.owns("x".repeat(19))).toBe(false);
    expect(source.owns("x".repeat(20))).toBe(true);
  });

  it("has only the actors of the last update", async () => {
    const source = createStaticSource({ hasher }, [staticActor("before", "the token from before it")]);

    source.update([staticActor("after", "the token from afterwards")]);

    expect(source.owns("the token from before it")).toBe(false);
    expect(await source.lookup("the token from afterwards", signal)).toMatchObject({ actor: { id: "after" } });
  });
});
