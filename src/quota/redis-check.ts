// What an operator should know about the Redis that quotas are kept in, found out at start.

import type { RedisConnection } from "../lib/redis.js";

/** A sentence for each thing that puts quotas at risk: what is found and what to do. Empty: all is well. Never throws. */
export async function checkRedis(redis: RedisConnection, prefix: string): Promise<readonly string[]> {
  try {
    const missing = await missingPermissions(redis, prefix);
    const infos = missing.includes("INFO") ? [] : await redis.infos();
    const failsOver = redis.kind === "sentinel";
    const found = infos.flatMap(({ server, info }) =>
      adviceOn(info, { failsOver }).map((advice) => `Redis ${server}: ${advice}`),
    );
    if (missing.length === 0) return found;
    const grant = `Redis does not let our user run ${missing.join(", ")}; grant them for keys that begin with ${prefix}`;
    return [...found, grant];
  } catch (error) {
    return [`Redis could not be checked: ${error instanceof Error ? error.message : String(error)}`];
  }
}

/**
 * What the text of INFO says. A server may keep parts of it to itself: nothing is said of those. `failsOver`: it is known that
 * others may take its place, whether or not one is connected to it just now.
 */
export function adviceOn(info: string, { failsOver = false } = {}): readonly string[] {
  const value = (key: string): string | undefined => new RegExp(`^${key}:([^\r\n]*)`, "m").exec(info)?.[1];
  const version = value("redis_version");
  const policy = value("maxmemory_policy");
  const advice: string[] = [];
  if (version !== undefined && Number.parseInt(version, 10) < 7)
    advice.push(`version ${version} is too old for our scripts; use 7.0 or newer`);
  if (policy !== undefined && policy !== "noeviction")
    advice.push(
      `maxmemory-policy is ${policy}; set it to noeviction, or it drops live counters and callers get past their limits`,
    );
  if (value("aof_enabled") === "0")
    advice.push("it keeps no append-only file; set appendonly yes, or a restart forgets what was used and held");
  if (value("aof_last_write_status") === "err" || value("rdb_last_bgsave_status") === "err")
    advice.push("it cannot save; see its log");
  const role = value("role");
  const isReplicated = failsOver || Number(value("connected_slaves") ?? 0) > 0;
  // INFO counts the replicas that are close enough only where some are asked for.
  if (role === "master" && isReplicated && value("min_slaves_good_slaves") === undefined)
    advice.push(
      "it has replicas and writes without them; set min-replicas-to-write 1 and min-replicas-max-lag 10, or what it counts after a replica took its place is lost. With one replica alone, its absence then stops admission: have two",
    );
  if (role === "slave")
    advice.push("it is a replica; point REDIS_ENDPOINT to the primary, the Sentinels or the Cluster");
  return advice;
}

/**
 * Tries each command that scripts call, the quota store's and those of who reads the outbox, inside a script, where permissions
 * are looked at again. `KEYS` are a hash, a sorted set, a list, a stream and a string; nothing is left of them.
 */
export const triedCommands: readonly (readonly string[])[] = [
  ["TIME"],
  ["HSET", "1", "a", "1"],
  ["HGET", "1", "a"],
  ["HMGET", "1", "a"],
  ["HLEN", "1"],
  ["HRANDFIELD", "1", "1"],
  ["HKEYS", "1"],
  ["HVALS", "1"],
  ["HGETALL", "1"],
  ["HINCRBY", "1", "a", "1"],
  ["PEXPIRETIME", "1"],
  ["PEXPIREAT", "1", "32503680000000"],
  ["HDEL", "1", "a"],
  ["ZADD", "2", "1", "a"],
  ["ZSCORE", "2", "a"],
  ["ZRANGE", "2", "0", "0"],
  ["PTTL", "2"],
  ["PEXPIRE", "2", "60000"],
  ["ZREM", "2", "a"],
  ["ZREMRANGEBYRANK", "2", "0", "0"],
  ["RPUSH", "3", "a"],
  ["LLEN", "3"],
  ["LPOP", "3"],
  ["XADD", "4", "NOMKSTREAM", "*", "a", "1"],
  ["XLEN", "4"],
  ["XRANGE", "4", "-", "+"],
  ["XTRIM", "4", "MAXLEN", "0"],
  ["SET", "5", "a", "PX", "60000"],
  ["GET", "5"],
  ["DEL", "5"],
];

const trying = `
local failed = {}
local function try(name, key, ...)
  local answer
  if key then answer = redis.pcall(name, KEYS[tonumber(key)], ...) else answer = redis.pcall(name) end
  if type(answer) == 'table' and answer.err then failed[#failed + 1] = name .. ' ' .. answer.err end
end
${triedCommands.map((words) => `try(${words.map((word) => `'${word}'`).join(", ")})`).join("\n")}
return failed`;

/** The commands that our user may not run. Rejects when Redis is away. */
async function missingPermissions(redis: RedisConnection, prefix: string): Promise<readonly string[]> {
  const keys = ["hash", "zset", "list", "stream", "string"].map((kind) => `${prefix}{check}:${kind}`);
  const permitted = async (command: string, attempt: Promise<unknown>): Promise<readonly string[]> => {
    try {
      return (await attempt) as readonly string[];
    } catch (error) {
      if (error instanceof Error && isPermission(error.message)) return [`${command} ${error.message}`];
      throw error;
    }
  };
  const failed = await Promise.all([
    permitted(
      "INFO",
      redis.client.info("server").then(() => []),
    ),
    permitted("EVAL", redis.client.eval(trying, keys.length, ...keys)),
  ]);
  const refused = failed.flat().filter(isPermission);
  return refused.map((text) => text.split(" ", 1)[0] ?? "");
}

function isPermission(text: string): boolean {
  return /NOPERM|no permissions|can't run this command/i.test(text);
}
