// Checks of prompts, and where flagged prompts are kept: in Redis, in the data directory, or in memory.

import type { Config } from "./config.js";
import { createDatabaseFlaggedStore } from "./guard/database-store.js";
import { createFlaggedPrompts, type FlaggedPrompts, type FlaggedStore } from "./guard/flagged.js";
import { createGuard } from "./guard/guard.js";
import { createMemoryFlaggedStore } from "./guard/memory-store.js";
import { createRedisFlaggedStore } from "./guard/redis-store.js";
import type { Clock } from "./lib/clock.js";
import type { Database } from "./lib/database.js";
import type { Log } from "./lib/log.js";
import type { Tokenizer } from "./models/tokenizer.js";
import type { Checks } from "./relay-check.js";

export interface ChecksOfGateway {
  /** Undefined: nothing is checked. */
  readonly checks: Checks | undefined;
  /** Undefined: no prompt is kept. Prompts may be read that were kept when there were checks. */
  readonly flagged: FlaggedPrompts | undefined;
  close(): Promise<void>;
}

export interface ChecksParts {
  readonly log: Log;
  readonly clock: Clock;
  readonly database: Database | undefined;
  readonly tokenizer: Tokenizer;
}

/** Sourcegraph.com itself, by its subscription: who asks is one of its users. */
const dotcomSubscription = "d3d2b638-d0a2-4539-a099-b36860b09819";
const dotcomUsers = "dotcom-user";

/** Rejects with `DatabaseUnusableError`. */
export async function createChecks(config: Config, parts: ChecksParts): Promise<ChecksOfGateway> {
  const { policy, kept } = config.flagging;
  const guard = createGuard({ countTokens: parts.tokenizer.count }, policy);
  const flagged = await createKeptPrompts(config, parts);
  const sources = new Set(kept.sources);
  return {
    checks: guard && {
      guard,
      prompts: flagged,
      keepsOf: ({ source, id }) => sources.has(source) || (id === dotcomSubscription && sources.has(dotcomUsers)),
    },
    flagged,
    async close() {
      await Promise.all([guard?.close(), flagged?.close()]);
    },
  };
}

async function createKeptPrompts(config: Config, parts: ChecksParts): Promise<FlaggedPrompts | undefined> {
  const { keys, ttlMs, most } = config.flagging.kept;
  const [first, ...others] = keys;
  if (!first) return undefined;
  const store = await createFlaggedStore(config, parts);
  return createFlaggedPrompts({ ...parts, store }, { keys: [first, ...others], ttlMs, most });
}

async function createFlaggedStore({ redisEndpoint, redisPrefix }: Config, parts: ChecksParts): Promise<FlaggedStore> {
  const { database, clock, log } = parts;
  if (database) return createDatabaseFlaggedStore({ database, clock });
  if (redisEndpoint === undefined) return createMemoryFlaggedStore({ clock });
  // Takes time and memory at the start, for those who use it.
  const { connectRedis } = await import("./lib/redis.js");
  const redis = connectRedis(redisEndpoint, "flagged", { log });
  return createRedisFlaggedStore({ redis, clock }, { prefix: redisPrefix });
}
