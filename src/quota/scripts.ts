// The Lua that Redis runs for the quota store: each call of the store is one script. Redis 7.0 or newer.
//
// KEYS  counters   hash    rule key → used, held, openedAt, endsAt; openedAt is in µs and is the window's identity
//       holds      hash    "=" id → record of a live hold · "!" id → its upstream was reached · "#" rule key → holds in flight
//       settled    zset    request id → until when it is known
//       leases     zset    actor's hash + request id → end of the lease; of all actors of the shard
//       outbox     stream  what becomes of requests; of the shard
//       abandoned  list    entry, "1" or "0" (charged) of each hold found abandoned; of the shard
// Values of hashes are MessagePack: Redis takes four times as long to read and write numbers as text. For the same reason
// no call is given a number where it can be given a text.
// An entry is a text of the gateway about the request, kept in the hold and put in the outbox; an event is the text that the
// request's end is told by. The scripts do not look into them.
// In the outbox:  reserved <entry> · finished <entry> event <event> · refunded <entry> event <event>
//                 abandoned <1 or 0, charged> of <entry>
// All but the last begin their arguments with what `RedisContact` tells of how long Redis was away.
// Answers begin with a word of `Answer` and Redis' time. Times are ms since the epoch, but for openedAt.

import { abandoning, settleDue, sparing, wasAway } from "./script-leases.js";
import { ending, standing } from "./script-parts.js";
import { inFlightRetryMs, leaseMs, maxCounters, rememberMs } from "./store.js";

/** What a script's answer is, its first element. */
export const Answer = { admitted: 1, refused: 2, late: 3, seen: 4, settled: 5, gone: 6, done: 7 } as const;

export interface ScriptSettings {
  readonly leaseMs: number;
  readonly rememberMs: number;
  /** A Redis that this process heard nothing of for longer was away. */
  readonly silentMs: number;
  /** Counters of an actor from which on new members count in that of their group. */
  readonly maxCounters: number;
}

/** The text of each script. `allow-oom`: what frees or ends something also runs when Redis is full. */
export function quotaScripts(settings: ScriptSettings = { leaseMs, rememberMs, silentMs: leaseMs / 2, maxCounters }) {
  const always = "#!lua flags=allow-oom";
  const ofActor = (header: string, ...parts: readonly string[]): string =>
    [
      header,
      "local counters, holds, settled, leases, outbox, abandoned = unpack(KEYS)",
      "local heard = table.remove(ARGV, 1)",
      prelude(settings),
      ...parts,
    ].join("\n");
  const ofShard = (header: string, part: string): string =>
    [header, "local leases, outbox, abandoned = unpack(KEYS)", prelude(settings), part].join("\n");
  return {
    /** Deadline, 1 or 0 (tell the outbox), actor's hash, request id, entry, then key, limit, windowMs (0: in flight), amount of each rule. */
    reserve: ofActor("#!lua", standing, reserving),
    /** Deadline, 1 or 0, actor's hash, request id, entry, event, then key and units used of each rule that was told. */
    commit: ofActor(always, standing, ending, settling("used_of")),
    /** Deadline, 1 or 0, actor's hash, request id, entry, event. */
    refund: ofActor(always, standing, ending, settling("nothing")),
    /** Actor's hash, then request id and 1 or 0 (its upstream was reached) of each hold. */
    renew: ofActor(always, renewing),
    /** 1 or 0, actor's hash, then the request ids whose lease ended. */
    abandon: ofActor(always, standing, ending, abandoning, abandoningGiven),
    /** 1 or 0, actor's hash, then key and windowMs (0: in flight) of each rule. */
    usage: ofActor("#!lua", standing, showing),
    /** 1 or 0, actor's hash, then rule keys. */
    reset: ofActor("#!lua", standing, resetting),
    /** Names at most so many leases that ended; tells how many abandoned holds wait. */
    due: ofShard(always, naming),
    /** Takes at most so many abandoned holds. */
    take: ofShard(always, taking),
  } as const;
}

/** The time, and what the scripts all call. */
function prelude(settings: ScriptSettings): string {
  return `
local call = redis.call
local time = call('TIME')
local stamp = time[1] * 1000000 + time[2]
local now = math.floor(stamp / 1000)
local function text(ms) return string.format('%d', ms) end
local now_text = text(now)
-- Numbers near 2^53 go out as texts: the client reads them as numbers with a rounding error.
local function exact(units) return units < 9e15 and units or text(units) end
local lease_ms, remember_ms, silent_ms, share_size = ${settings.leaseMs}, ${settings.rememberMs}, ${settings.silentMs}, 8
local max_counters = ${settings.maxCounters}`;
}

const reserving = `
if now > tonumber(ARGV[1]) then return { ${Answer.late}, now } end
local told, who, id, entry = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
${settleDue(ending, abandoning)}

local fields, keys, rules = { '=' .. id }, {}, {}
for i = 6, #ARGV, 4 do
  local limit, window = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local rule = { key = ARGV[i], limit = limit, window = window, amount = math.min(tonumber(ARGV[i + 3]), limit), field = 0 }
  rules[#rules + 1] = rule
  if window > 0 then
    keys[#keys + 1] = rule.key
  else
    fields[#fields + 1] = '#' .. rule.key
    rule.field = #fields
  end
end

local found_holds = call('HMGET', holds, unpack(fields))
if found_holds[1] then
  local record, answer = { cmsgpack.unpack(found_holds[1]) }, { ${Answer.seen}, now }
  for i = 2, #record, share_size do
    local a = #answer
    answer[a + 1], answer[a + 2] = record[i], exact(record[i + 1])
    answer[a + 3], answer[a + 4], answer[a + 5] = exact(record[i + 5]), exact(record[i + 6]), record[i + 7]
  end
  return answer
end

local found, refused = read_counters(keys), nil
for i, rule in ipairs(rules) do
  if rule.window > 0 and not found[rule.key] and group_of(rule.key) then
    -- A member that has no counter. What is over goes at least as fast as more comes: a few, wherever they are, are looked at.
    local some = call('HRANDFIELD', counters, '4', 'WITHVALUES')
    for s = 1, #some, 2 do
      local _, _, _, ends = cmsgpack.unpack(some[s + 1])
      if ends <= now and not found[some[s]] then call('HDEL', counters, some[s]) end
    end
    rule.key = counted_as(rule.key, found)
  end
  local used, held, resets = state_of(found[rule.key], found_holds[rule.field], rule.window)
  rule.used, rule.held, rule.resets = used, held, resets
  -- Written so that what is no number does not pass.
  if not (used < rule.limit and used + rule.amount <= rule.limit) then
    local retry = now + ${inFlightRetryMs}
    if rule.window > 0 then retry = resets > 0 and resets or now + rule.window end
    if not refused or retry > refused[7] then 
      refused = { ${Answer.refused}, now, i - 1, exact(used), exact(held), resets, retry }
    end
  end
end

local known = call('ZSCORE', settled, id)
if known and tonumber(known) > now then
  local answer = { ${Answer.admitted}, now }
  for _, rule in ipairs(rules) do
    local a = #answer
    answer[a + 1], answer[a + 2], answer[a + 3] = exact(rule.used), exact(rule.held), rule.resets
  end
  return answer
end
if refused then return refused end

local changes, hold, record, answer, last = {}, { '=' .. id, '' }, { entry }, { ${Answer.admitted}, now }, 0
for _, rule in ipairs(rules) do
  local used, held, opened = rule.used + rule.amount, rule.held + rule.amount, 0
  if rule.window == 0 then
    hold[#hold + 1] = '#' .. rule.key
    hold[#hold + 1] = text(used)
  else
    if rule.resets == 0 then
      opened, rule.resets = stamp, now + rule.window
    else
      opened = found[rule.key].opened
    end
    last = math.max(last, rule.resets)
    changes[#changes + 1] = rule.key
    changes[#changes + 1] = cmsgpack.pack(used, held, opened, rule.resets)
  end
  local n, a = #record, #answer
  record[n + 1], record[n + 2], record[n + 3], record[n + 4] = rule.key, rule.limit, rule.window, rule.amount
  record[n + 5], record[n + 6], record[n + 7], record[n + 8] = opened, used, held, rule.resets
  answer[a + 1], answer[a + 2], answer[a + 3] = exact(used), exact(held), rule.resets
end

if #changes > 0 then
  local expires = call('PEXPIRETIME', counters)
  call('HSET', counters, unpack(changes))
  if expires == -1 then
    -- Found without an end: it must outlive every window in it.
    for _, value in ipairs(call('HVALS', counters)) do
      local _, _, _, ends = cmsgpack.unpack(value)
      last = math.max(last, ends)
    end
  end
  if expires < last then call('PEXPIREAT', counters, text(last)) end
end
hold[2] = cmsgpack.pack(unpack(record))
call('HSET', holds, unpack(hold))
call('ZADD', leases, text(now + lease_ms), who .. id)
if told == '1' then call('XADD', outbox, '*', 'reserved', entry) end
return answer`;

function settling(usedOf: "used_of" | "nothing"): string {
  const field = usedOf === "nothing" ? "refunded" : "finished";
  return `
if now > tonumber(ARGV[1]) then return { ${Answer.late}, now } end
local told, who, id, entry, event = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
${settleDue(abandoning)}
local packed = call('HGET', holds, '=' .. id)
if not packed then
  -- Redis lost the hold, or never had it: it was let in blind. Its end is told of all the same, once.
  local known = call('ZSCORE', settled, id)
  if told == '1' and event ~= '' and not (known and tonumber(known) > now) then
    remember(id)
    call('XADD', outbox, '*', '${field}', entry, 'event', event)
  end
  return { ${Answer.gone}, now }
end

local used = {}
for i = 7, #ARGV, 2 do
  used[ARGV[i]] = tonumber(ARGV[i + 1])
  local group = group_of(ARGV[i])
  if group then used[group] = used[ARGV[i]] end
end
local function used_of(key) return used[key] end
local record = { cmsgpack.unpack(packed) }
local found = end_hold(who, id, record, ${usedOf})
if told == '1' then call('XADD', outbox, '*', '${field}', entry, 'event', event) end

local answer = { ${Answer.settled}, now }
for i = 2, #record, share_size do
  local key, window, a = record[i], record[i + 2], #answer
  local used, held, resets = state_of(found[key], window == 0 and call('HGET', holds, '#' .. key), window)
  answer[a + 1], answer[a + 2], answer[a + 3] = key, exact(record[i + 1]), exact(used)
  answer[a + 4], answer[a + 5] = exact(held), resets
end
return answer`;
}

const renewing = `
if ${wasAway} then
  ${sparing}
end
local who = ARGV[1]
local ends_text = text(now + lease_ms)
for i = 2, #ARGV, 2 do
  local member = who .. ARGV[i]
  local ends = call('ZSCORE', leases, member)
  if ends and tonumber(ends) > now then
    call('ZADD', leases, ends_text, member)
    if ARGV[i + 1] == '1' then call('HSET', holds, '!' .. ARGV[i], '') end
  end
end
return { ${Answer.done}, now }`;

const abandoningGiven = `
if ${wasAway} then
  ${sparing}
end
local told, who = ARGV[1], ARGV[2]
for i = 3, #ARGV do
  local ends = call('ZSCORE', leases, who .. ARGV[i])
  if ends and tonumber(ends) <= now then abandon(told, who, ARGV[i]) end
end
return { ${Answer.done}, now }`;

const showing = `
local told, who = ARGV[1], ARGV[2]
${settleDue(ending, abandoning)}
local keys, answer = {}, { ${Answer.done}, now }
for i = 3, #ARGV, 2 do
  if ARGV[i + 1] ~= '0' then keys[#keys + 1] = ARGV[i] end
end
local found = read_counters(keys)
for i = 3, #ARGV, 2 do
  local key, window, a = ARGV[i], tonumber(ARGV[i + 1]), #answer
  local counter = window > 0 and found[counted_as(key, found)]
  local used, held, resets = state_of(counter, window == 0 and call('HGET', holds, '#' .. key), window)
  answer[a + 1], answer[a + 2], answer[a + 3] = exact(used), exact(held), resets
end
return answer`;

const resetting = `
local told, who = ARGV[1], ARGV[2]
${settleDue(ending, abandoning)}
local keys, answer = {}, { ${Answer.done}, now }
for i = 3, #ARGV do keys[#keys + 1] = ARGV[i] end
local found = read_counters(keys)
for _, key in ipairs(keys) do
  local counter = found[key]
  local open = counter and counter.ends > now
  if open then call('HDEL', counters, key) end
  answer[#answer + 1] = open and exact(counter.used) or -1
end
return answer`;

const naming = `
local heard = table.remove(ARGV, 1)
if ${wasAway} then
  ${sparing}
end
local due = call('ZRANGE', leases, '-inf', now_text, 'BYSCORE', 'LIMIT', '0', ARGV[1])
return { ${Answer.done}, now, call('LLEN', abandoned) / 2, unpack(due) }`;

const taking = `
local taken = call('LPOP', abandoned, ARGV[1] * 2)
return { ${Answer.done}, now, unpack(taken or {}) }`;
