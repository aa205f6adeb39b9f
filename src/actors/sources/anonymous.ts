import type { Clock } from "../../lib/clock.js";
import type { Actor, FeatureAccess, Limit, Unit } from "../actor.js";
import { type Burst, burstOf } from "../burst.js";
import type { Source } from "../source.js";

const dayMs = 86_400_000;

/** Who comes without a token: one actor for all of them, with one small pool of limits. */
export function createAnonymousSource(parts: { clock: Clock }, options: { burst: Burst }): Source {
  const { burst } = options;
  const features = {
    chat_completions: access(daily(50, "requests"), burst, [
      "anthropic/claude-v1",
      "anthropic/claude-2",
      "anthropic/claude-2.0",
      "anthropic/claude-2.1",
    ]),
    code_completions: access(daily(1_000, "requests"), burst, [
      "anthropic/claude-instant-v1",
      "anthropic/claude-instant-1",
      "anthropic/claude-instant-1.2",
    ]),
    embeddings: {
      limits: [
        daily(100_000, "tokens"),
        { amount: 10, unit: "requests", windowMs: burst.windowMs, burst: true } as const,
      ],
      models: ["openai/text-embedding-ada-002"],
    },
  };
  const anonymous = (): Actor => ({
    id: "anonymous",
    name: "anonymous",
    source: "anonymous",
    accessEnabled: true,
    features,
    updatedAt: new Date(parts.clock.now()),
  });
  return {
    name: "anonymous",
    kind: "requests without a token",
    local: true,
    owns: (token) => token === undefined,
    known: () => [{ actor: anonymous(), tokenHashes: [] }],
    lookup: async (token) => (token === undefined ? { actor: anonymous(), tokens: undefined } : undefined),
  };
}

function daily(amount: number, unit: Unit): Limit {
  return { amount, unit, windowMs: dayMs };
}

function access(limit: Limit, burst: Burst, models: readonly string[]): FeatureAccess {
  return { limits: [limit, burstOf(limit, burst)], models };
}
