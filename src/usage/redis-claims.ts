import { createHash } from "node:crypto";
import type { Clock } from "../lib/clock.js";
import type { RedisConnection } from "../lib/redis.js";
import type { AlertClaims } from "./alert.js";

/** KEYS[1]: the claim. ARGV: threshold, ms until it ends. */
const claiming = `
local last = redis.call('GET', KEYS[1])
if last and tonumber(last) >= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
`;

/** Claims of all processes: a key for each, which ends with the window. */
export function createRedisClaims(
  { redis, clock }: { readonly redis: RedisConnection; readonly clock: Clock },
  { prefix }: { readonly prefix: string },
): AlertClaims {
  return {
    async claim(key, threshold, until) {
      // A key may hold an actor's id, and that anything.
      const name = createHash("sha256").update(key).digest("base64url").slice(0, 32);
      const lifeMs = Math.max(1, Math.round(until.getTime() - clock.now()));
      const answer = await redis.client.eval(claiming, 1, `${prefix}alert:${name}`, String(threshold), String(lifeMs));
      return answer === 1;
    },
    close: redis.close,
  };
}
