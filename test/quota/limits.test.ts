import { describe, expect, it } from "vitest";
import { makeActor, makeLimit } from "../helpers/make-actor.js";
import { admitted, limits, makeRequest, testQuota } from "./setup.js";

describe("limits of an actor", () => {
  it("are shown by feature, without consuming anything", async () => {
    const { quota } = testQuota();
    const actor = makeActor({
      features: {
        embeddings: { limits: [makeLimit({ unit: "tokens", amount: 500 })] },
        chat_completions: { limits: [makeLimit({ models: ["a/*"] }), makeLimit({ burst: true })], inFlight: 4 },
        code_completions: {},
      },
    });
    await quota.reserve(makeRequest({ actor, model: "a/1" }));
    for (let i = 0; i < 2; i++) {
      const shown = [...(await quota.limits(actor))].map(([feature, states]) => [
        feature,
        states.map(({ unit, used, limit }) => [unit, used, limit]),
      ]);
      expect(shown).toEqual([
        [
          "chat_completions",
          [
            ["requests", 1, 10],
            ["requests", 1, 10],
            ["in_flight", 1, 4],
          ],
        ],
        ["code_completions", []],
        ["embeddings", [["tokens", 0, 500]]],
      ]);
    }
  });

  it("leave out features without access", async () => {
    const { quota } = testQuota();
    const none = { limits: [makeLimit({ amount: 0 })] };
    const some = { limits: [makeLimit({ amount: 0, models: ["a/*"] })] };
    const actor = makeActor({ features: { chat_completions: none, code_completions: some } });
    expect([...(await quota.limits(actor)).keys()]).toEqual(["code_completions"]);
    expect([...(await quota.limits({ ...actor, accessEnabled: false })).keys()]).toEqual([]);
  });

  it("never show a negative remainder", async () => {
    const { quota } = testQuota();
    await admitted(quota, 5, limits({ amount: 5 }));
    const states = await quota.limits(makeRequest(limits({ amount: 2 })).actor);
    expect(states.get("chat_completions")).toMatchObject([{ used: 5, limit: 2, remaining: 0 }]);
  });

  it("are reset by feature, saying what was used of each unit", async () => {
    const { quota } = testQuota();
    const given = [
      makeLimit({ amount: 3 }),
      makeLimit({ amount: 2, models: ["a/*"] }),
      makeLimit({ unit: "tokens", amount: 900 }),
    ];
    const actor = makeActor({
      features: { chat_completions: { limits: given }, code_completions: { limits: [makeLimit()] } },
    });
    for (const model of ["a/1", "b/1"]) {
      const hold = await quota.reserve(makeRequest({ actor, model }));
      await hold.commit({ tokens: 20, microdollars: undefined }, "completed");
    }
    await quota.reserve(makeRequest({ actor, feature: "code_completions" }));
    expect(await quota.reset(actor, "chat_completions")).toEqual({ requests: 2, tokens: 40 });
    const states = await quota.limits(actor);
    expect(states.get("chat_completions")?.map(({ used }) => used)).toEqual([0, 0, 0]);
    expect(states.get("code_completions")?.map(({ used }) => used)).toEqual([1]);
    expect(await quota.reset(actor, "chat_completions")).toEqual({});
    expect(await quota.reset(actor, "embeddings")).toEqual({});
  });
});

describe("explain", () => {
  it("says what a request would meet, and consumes nothing", async () => {
    const { quota, decisions } = testQuota();
    const request = limits({ amount: 1 });
    for (let i = 0; i < 2; i++) {
      expect(await quota.explain(makeRequest(request))).toMatchObject({
        limits: [{ state: { used: 0 }, requested: 1, refusal: undefined }],
        refusal: undefined,
      });
    }
    await admitted(quota, 1, request);
    const refused = await quota.reserve(makeRequest(request)).catch((error: unknown) => error);
    const { limits: explained, refusal } = await quota.explain(makeRequest(request));
    expect(explained).toMatchObject([{ state: { used: 1, limit: 1 }, refusal: { reason: "QUOTA_EXCEEDED" } }]);
    expect(refusal).toEqual(refused);
    expect(decisions).toHaveLength(2);
  });

  it.each([
    ["access disabled", makeActor({ accessEnabled: false }), "ACCESS_DISABLED"],
    ["a feature that is not granted", makeActor({ features: {} }), "FEATURE_NOT_GRANTED"],
    ["no limits", makeActor(), undefined],
  ])("needs no store for %s", async (_, actor, reason) => {
    const { quota, calls } = testQuota();
    const explained = await quota.explain(makeRequest({ actor }));
    expect([explained.limits, explained.refusal?.reason, calls]).toEqual([[], reason, []]);
  });
});
