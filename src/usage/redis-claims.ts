import { createHash } from "node:crypto";
import type { Clock } from "../lib/clock.js";
import type { RedisConnection } from "../lib/redis.js";
import type { AlertClaims, Claim } from "./alert.js";

// KEYS[1]: the highest threshold that was told of. KEYS[2]: the one that somebody tells of, as long as that is awaited.

/** ARGV: threshold, ms that the claim is awaited. -1: it was told of; 0: claimed; else ms until the claim of another ends. */
const claiming = `
local told = redis.call('GET', KEYS[1])
if told and tonumber(told) >= tonumber(ARGV[1]) then return -1 end
local claimed = redis.call('GET', KEYS[2])
if claimed and tonumber(claimed) >= tonumber(ARGV[1]) then return math.max(1, redis.call('PTTL', KEYS[2])) end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 0
`;

/** ARGV: threshold, ms until the window ends. */
const telling = `
local told = redis.call('GET', KEYS[1])
if not told or tonumber(told) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
`;

/** ARGV: threshold, ms after which others may have it. */
const releasing = `
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('PEXPIRE', KEYS[2], ARGV[2]) end
`;

/** Claims of all processes, in keys that end with the window. */
export function createRedisClaims(
  { redis, clock }: { readonly redis: RedisConnection; readonly clock: Clock },
  { prefix }: { readonly prefix: string },
): AlertClaims {
  const run = (script: string, { key, threshold }: Claim, ms: number): Promise<unknown> => {
    // A key may hold an actor's id, and that anything. The braces keep the two keys of a claim on one server.
    const name = `${prefix}alert:{${createHash("sha256").update(key).digest("base64url").slice(0, 32)}}`;
    return redis.client.eval(script, 2, name, `${name}:claim`, String(threshold), String(Math.max(0, Math.round(ms))));
  };
  const lifeMs = ({ until }: Claim): number => Math.max(1, until.getTime() - clock.now());
  return {
    async claim(claim, leaseMs) {
      const answer = await run(claiming, claim, Math.min(Math.max(1, leaseMs), lifeMs(claim)));
      if (answer === -1) return "told";
      return answer === 0 ? "yours" : { askAgainAt: new Date(clock.now() + Number(answer)) };
    },
    async told(claim) {
      await run(telling, claim, lifeMs(claim));
    },
    async release(claim, pauseMs) {
      await run(releasing, claim, pauseMs);
    },
    close: redis.close,
  };
}
