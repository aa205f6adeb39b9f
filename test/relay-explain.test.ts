// What `explainAccess` says must be what a request gets: over thousands of states, decided by the parts that decide for requests.

import fc from "fast-check";
import { describe, expect, it, onTestFinished } from "vitest";
import type { Actor, EndUser, Feature, FeatureAccess, Limit, PerUser } from "../src/actors/actor.js";
import { createAuthenticator } from "../src/auth/authenticate.js";
import { GatewayError, UnauthenticatedError } from "../src/errors.js";
import { createCatalogue } from "../src/models/catalogue.js";
import { createMemoryQuotaStore } from "../src/quota/memory-store.js";
import { createQuota } from "../src/quota/quota.js";
import { explainAccess } from "../src/relay-explain.js";
import { fakeClock } from "./helpers/fake-clock.js";

const models = [
  "openai/gpt-4o",
  "openai/gpt-4o",
  "anthropic/claude-3",
  "anthropic/claude-3",
  "openai/unheard-of",
  "virtual/any",
  "nonsense",
];
const features: readonly Feature[] = ["chat_completions", "code_completions"];

const limit: fc.Arbitrary<Limit> = fc.record(
  {
    amount: fc.integer({ min: 0, max: 3 }),
    unit: fc.constantFrom("requests" as const, "tokens" as const),
    windowMs: fc.constantFrom(1_000, 60_000),
    models: fc.constantFrom(["openai/*"], ["anthropic/claude-3"]),
    burst: fc.boolean(),
  },
  { requiredKeys: ["amount", "unit", "windowMs"] },
);

const perUser: fc.Arbitrary<PerUser> = fc.record(
  {
    limits: fc.array(limit, { maxLength: 2 }),
    inFlight: fc.integer({ min: 1, max: 2 }),
    percentage: fc.constantFrom(30, 70),
  },
  { requiredKeys: ["limits"] },
);

const access: fc.Arbitrary<FeatureAccess> = fc.record(
  {
    limits: fc.array(limit, { maxLength: 3 }),
    inFlight: fc.integer({ min: 0, max: 2 }),
    perUser,
    models: fc.constantFrom(["*"], ["*"], ["openai/*"], ["anthropic/claude-3", "virtual/any"], []),
  },
  { requiredKeys: ["limits", "models"] },
);

const user = fc.constantFrom<EndUser>({}, { id: "1" }, { id: "none" }, { anonymousId: "1" });

/** The first nine times of ten. */
function mostly<T>(first: T, second: T): fc.Arbitrary<T> {
  return fc.oneof({ weight: 9, arbitrary: fc.constant(first) }, { weight: 1, arbitrary: fc.constant(second) });
}

const state = fc.record({
  accessEnabled: mostly(true, false),
  known: mostly(true, false),
  chat: fc.option(access, { nil: undefined, freq: 9 }),
  code: fc.option(access, { nil: undefined, freq: 9 }),
  /** Requests made before, and left under way. */
  before: fc.array(
    fc.record({
      model: fc.constantFrom(...models),
      feature: fc.constantFrom(...features),
      settled: fc.boolean(),
      user,
    }),
    {
      maxLength: 5,
    },
  ),
  waitMs: fc.constantFrom(0, 500, 1_500),
  model: fc.constantFrom(...models),
  feature: fc.constantFrom(...features),
  user,
});

function setUp({
  accessEnabled,
  known,
  chat,
  code,
  embeddings,
}: {
  accessEnabled: boolean;
  known: boolean;
  chat?: FeatureAccess | undefined;
  code?: FeatureAccess | undefined;
  embeddings?: FeatureAccess;
}) {
  const actor: Actor = {
    id: "a",
    name: "A",
    source: "s",
    accessEnabled,
    features: {
      ...(chat && { chat_completions: chat }),
      ...(code && { code_completions: code }),
      ...(embeddings && { embeddings }),
    },
    updatedAt: new Date(0),
  };
  const clock = fakeClock();
  const quota = createQuota({ store: createMemoryQuotaStore({ clock }), clock });
  onTestFinished(async () => void (await quota.close()));
  const catalogue = createCatalogue(
    [
      { name: "openai", kind: "openai", models: ["gpt-*"] },
      { name: "anthropic", kind: "anthropic", models: ["claude-*"] },
    ],
    [{ id: "virtual/any", routes: [{ model: "anthropic/claude-3", weight: 1 }], prices: undefined }],
  );
  const vectors = createCatalogue([{ name: "openai", kind: "openai", models: ["text-embedding-*"] }]);
  const sources = {
    refused: () => undefined,
    knows: () => known,
    async find(): Promise<Actor> {
      if (known) return actor;
      throw new UnauthenticatedError("TOKEN_INVALID", "nobody");
    },
  };
  const authenticator = createAuthenticator({ sources });
  let requests = 0;

  /** The way of a request, up to where it would be sent. */
  async function ask(feature: Feature, model: string, endUser: EndUser = {}) {
    const caller = await authenticator.authenticate("token");
    const granted = caller.features[feature];
    const route = granted && catalogue.resolve({ model, allowed: granted.models }).route;
    return quota.reserve({
      requestId: `r${requests++}`,
      actor: caller,
      endUser,
      feature,
      model: route?.name ?? "",
      estimate: () => ({ promptTokens: 1, maxOutputTokens: 0 }),
      intent: "",
    });
  }
  return { clock, quota, explainer: { sources, catalogue, embeddings: vectors, quota }, ask };
}

async function reasonOf(work: Promise<unknown>): Promise<string | undefined> {
  return work.then(
    () => undefined,
    (error: unknown) => {
      if (error instanceof GatewayError) return error.reason;
      throw error;
    },
  );
}

describe("explainAccess", () => {
  it("says what the request then gets, and takes nothing from it", async () => {
    let admitted = 0;
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(state, async (given) => {
        const { clock, quota, explainer, ask } = setUp(given);
        for (const { model, feature, settled, user: by } of given.before) {
          const hold = await ask(feature, model, by).catch(() => undefined);
          if (settled) await hold?.commit({ tokens: 1, microdollars: 1 }, () => "");
        }
        await clock.advanceMs(given.waitMs);
        const question = {
          caller: { token: "token" },
          endUser: given.user,
          feature: given.feature,
          model: given.model,
          tokens: 1,
          microdollars: 1,
        };

        const first = await explainAccess(explainer, question);
        const second = await explainAccess(explainer, question);
        const got = await reasonOf(ask(given.feature, given.model, given.user));

        expect(first.refusal?.reason).toBe(got);
        expect(second.refusal?.reason).toBe(got);
        expect(first.checks.some(({ refusal }) => refusal !== undefined)).toBe(got !== undefined);
        if (got === undefined) admitted++;
        else refused++;
        await quota.close(0);
      }),
      { numRuns: 800 },
    );
    // Both happen often enough to mean something.
    expect(Math.min(admitted, refused)).toBeGreaterThan(80);
  });

  it("holds embeddings against their own models", async () => {
    const all: FeatureAccess = { limits: [], models: ["*"] };
    const { explainer } = setUp({ accessEnabled: true, known: true, chat: all, embeddings: all });
    const reason = async (feature: Feature, model: string) => {
      const question = { caller: { token: "token" }, feature, model, endUser: {}, tokens: 1, microdollars: 1 };
      return (await explainAccess(explainer, question)).refusal?.reason;
    };
    expect(await reason("embeddings", "openai/text-embedding-3-small")).toBeUndefined();
    expect(await reason("embeddings", "openai/gpt-4o")).toBe("MODEL_NOT_ALLOWED");
    expect(await reason("chat_completions", "openai/text-embedding-3-small")).toBe("MODEL_NOT_ALLOWED");
    expect(await reason("chat_completions", "openai/gpt-4o")).toBeUndefined();
  });

  it("shows every limit with its numbers, also those that would let the request pass", async () => {
    const chat: FeatureAccess = {
      limits: [
        { amount: 1, unit: "requests", windowMs: 1_000 },
        { amount: 5, unit: "requests", windowMs: 60_000 },
      ],
      inFlight: 9,
      models: ["*"],
    };
    const { explainer, ask } = setUp({ accessEnabled: true, known: true, chat });
    await ask("chat_completions", "openai/gpt-4o");

    const { checks, refusal } = await explainAccess(explainer, {
      caller: { token: "token" },
      endUser: {},
      feature: "chat_completions",
      model: "openai/gpt-4o",
      tokens: 1,
      microdollars: 1,
    });

    expect(refusal?.reason).toBe("QUOTA_EXCEEDED");
    expect(checks.map((check) => [check.kind, check.refusal?.reason])).toEqual([
      ["token", undefined],
      ["access", undefined],
      ["feature", undefined],
      ["model", undefined],
      ["limit", "QUOTA_EXCEEDED"],
      ["limit", undefined],
      ["limit", undefined],
    ]);
  });
});
