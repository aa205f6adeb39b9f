// The Lua that Redis runs for the store of actors. Redis 7.0 or newer. Each script is short: none holds Redis up for longer
// than some milliseconds.
//
// KEYS of the scripts about records:
//       changes  stream  all changes: id `<number>-<nonce>`, numbers without gaps; a field "<number of the kind> <key>" with the
//                        value for each of some records
//       expiry   zset    "<number of the kind> <key>" of each record that expires → when
//       era      string  names the data: a Redis that has lost all of it has none. Set by who follows, see redis-restore.ts
//       hashes   one a kind, in the order of `recordKinds`: key → value
// A value is "<when it expires, 0: never> <JSON>"; in changes, none is a removal.
// The nonce is random with each write. So a process that comes back to a change it has seen knows whether the data is still the
// one it followed: a Redis that lost its last changes, and has gone on with others since, has other nonces under their numbers.
// Answers begin with a word of `Answer` and Redis' time in ms.

import type { RecordKind } from "./store.js";

/** What a script's answer is, its first element. */
export const Answer = { done: 1, late: 2, lost: 3, gone: 4 } as const;

/** The kinds of records that are kept in hashes of their own. Part of the layout of the data: new ones go to the end. */
export const recordKinds = [
  "actors",
  "overrides",
  "revocations",
  "unknown",
  "syncs",
  "watchers",
  "audit",
] as const satisfies readonly RecordKind[];

export interface ActorScriptSettings {
  /** About so many changes are kept for those who follow. */
  readonly maxChanges: number;
}

/** Most records of one change. */
export const changeSize = 10;

export type ActorScriptName = keyof ReturnType<typeof actorScripts>;

/** The text of each script. `allow-oom`: what makes room also runs when Redis is full. */
export function actorScripts({ maxChanges }: ActorScriptSettings) {
  const always = "#!lua flags=allow-oom";
  const reading = "#!lua flags=no-writes";
  return {
    /**
     * Deadline, nonce, channel, the lease's value (empty: none), 1 or 0 (only what is not there), then number of the kind, key,
     * value of each record, no key twice. KEYS end with the lease's, where there is one. Tells the number of the last change.
     */
    write: script("#!lua", recordKeys, standing, changing, trimming(maxChanges), writing),
    /** Nonce, channel, most records. Tells how many expired. */
    expire: script(always, recordKeys, standing, changing, trimming(maxChanges), ending, expiring),
    /**
     * Id of the last change that is known (empty: only the id of the last one is asked for), most changes. Tells the id of the
     * last change, 1 or 0 (something has expired), the era, then of
     * each change that followed its id, how many fields it has, and these with their values.
     */
    read: script(reading, recordKeys, standing, ending, following),
    /** Number of a kind, cursor, COUNT. Tells the next cursor, then key and value of some records. */
    scan: script(reading, recordKeys, scanning),
    /** Value of the lease, the last of KEYS (empty: none), new era. Tells the era; empty when somebody else has the lease. */
    begin: script("#!lua", recordKeys, beginning),
    /** KEYS: lease. Deadline, value, ms. Tells 1 when it was free. */
    acquire: script("#!lua", "", acquiring),
    /** KEYS: lease. Value, ms. Tells 1 when it is still held. */
    extend: script(always, "", extending),
    /** KEYS: lease. Value. */
    release: script(always, "", releasing),
    /** KEYS: lease. Tells its value. */
    holder: script(reading, "", holding),
    /** KEYS: something, so that all messages go by one server and stay in order. Channel, message. */
    publish: script(always, "", publishing),
    /** KEYS: bucket. Deadline, permits a second, burst. Tells 1 when one was taken. */
    take: script("#!lua", "", taking),
    /**
     * KEYS: name, era. Deadline, value, 1 or 0 (it was kept before). Tells the value that is kept. When everything was lost, who
     * remembers is right, and not who made up something new meanwhile.
     */
    keep: script("#!lua", "", keeping),
  } as const;
}

function script(header: string, ...parts: readonly string[]): string {
  return [header, prelude, ...parts].join("\n");
}

const prelude = `
local call = redis.call
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function text(number) return string.format('%d', number) end`;

const recordKeys = `
local changes, expiry, era = KEYS[1], KEYS[2], KEYS[3]
local kinds = { ${recordKinds.map((kind) => `'${kind}'`).join(", ")} }
local function hash_of(number) return KEYS[3 + number] end`;

const standing = `
-- Id of the last change there ever was.
local function last_id()
  local info = redis.pcall('XINFO', 'STREAM', changes)
  if info.err then return '0-0' end
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then return info[i + 1] end
  end
end`;

const changing = `
local last, pending, filled = tonumber(string.match(last_id(), '^%d+')), {}, 0
local function flush(nonce)
  if filled == 0 then return end
  last = last + 1
  call('XADD', changes, text(last) .. '-' .. nonce, unpack(pending, 1, filled))
  filled = 0
end
-- Some go together: to begin a change costs more than what is in it.
local function change(nonce, member, value)
  pending[filled + 1], pending[filled + 2] = member, value
  filled = filled + 2
  if filled == ${2 * changeSize} then flush(nonce) end
end
-- Who hears it reads at once instead of some time later, so it does not matter when this is not allowed.
local function wake(channel) redis.pcall('PUBLISH', channel, text(last)) end`;

const trimming = (maxChanges: number): string => `
local function trim() call('XTRIM', changes, 'MAXLEN', '~', '${maxChanges}') end`;

const writing = `
if now > tonumber(ARGV[1]) then return { ${Answer.late}, now } end
local nonce, channel, lease, only_absent = ARGV[2], ARGV[3], ARGV[4], ARGV[5] == '1'
if lease ~= '' and call('GET', KEYS[#KEYS]) ~= lease then return { ${Answer.lost}, now } end
local set, removed, expires, stays, sets, ends, stay = {}, {}, {}, {}, {}, 0, 0
for i = 6, #ARGV, 3 do
  local digit, key, value = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local number = tonumber(digit)
  if not (only_absent and call('HEXISTS', hash_of(number), key) == 1) then
    local member = digit .. ' ' .. key
    local fields, n = set[number], sets[number]
    if value == '' then
      removed[number] = removed[number] or {}
      table.insert(removed[number], key)
    else
      if not fields then fields, n = {}, 0 end
      fields[n + 1], fields[n + 2] = key, value
      set[number], sets[number] = fields, n + 2
    end
    -- "0" or nothing in front: it does not expire.
    if value == '' or string.byte(value) == 48 then
      stay = stay + 1
      stays[stay] = member
    else
      expires[ends + 1], expires[ends + 2] = string.match(value, '^%d+'), member
      ends = ends + 2
    end
    change(nonce, member, value)
  end
end
for number, fields in pairs(set) do call('HSET', hash_of(number), unpack(fields)) end
for number, fields in pairs(removed) do call('HDEL', hash_of(number), unpack(fields)) end
if stay > 0 then call('ZREM', expiry, unpack(stays)) end
if ends > 0 then call('ZADD', expiry, unpack(expires)) end
flush(nonce)
if #ARGV > 5 then
  trim()
  wake(channel)
end
return { ${Answer.done}, now, last }`;

const ending = `
-- What has expired, at most so many. What a newer version added is its own to remove: some of that is looked past.
local function ended(most)
  local found, from, size = {}, 0, most
  repeat
    local members = call('ZRANGE', expiry, '-inf', text(now), 'BYSCORE', 'LIMIT', text(from), text(size))
    for i = 1, #members do
      if #found < most and kinds[tonumber(string.match(members[i], '^%d+'))] then found[#found + 1] = members[i] end
    end
    from = from + #members
    local all = #members < size
    size = 500
  until all or #found == most or from >= 10000
  return found
end`;

const expiring = `
local due = ended(tonumber(ARGV[3]))
for i = 1, #due do
  local number, key = string.match(due[i], '^(%d+) (.*)$')
  call('HDEL', hash_of(tonumber(number)), key)
  call('ZREM', expiry, due[i])
  change(ARGV[1], due[i], '')
end
flush(ARGV[1])
if #due > 0 then
  trim()
  wake(ARGV[2])
end
return { ${Answer.done}, now, #due }`;

const following = `
local known, last = ARGV[1], last_id()
local answer = { ${Answer.done}, now, last, #ended(1), call('GET', era) or '' }
if known == '' or known == last then return answer end
local from = '-'
if known ~= '0-0' then
  -- It is there, or what came after it may be missing, or be something else.
  if #call('XRANGE', changes, known, known) == 0 then return { ${Answer.gone}, now } end
  from = '(' .. known
end
local entries = call('XRANGE', changes, from, '+', 'COUNT', ARGV[2])
if known == '0-0' and not (entries[1] and string.match(entries[1][1], '^1%-')) then return { ${Answer.gone}, now } end
for i = 1, #entries do
  local n, fields = #answer, entries[i][2]
  answer[n + 1], answer[n + 2] = entries[i][1], #fields / 2
  for f = 1, #fields do answer[n + 2 + f] = fields[f] end
end
return answer`;

const scanning = `
local found = call('HSCAN', hash_of(tonumber(ARGV[1])), ARGV[2], 'COUNT', ARGV[3])
local answer = { ${Answer.done}, now, found[1] }
for i = 1, #found[2] do answer[3 + i] = found[2][i] end
return answer`;

const beginning = `
local holder = call('GET', KEYS[#KEYS])
if holder and holder ~= ARGV[1] then return { ${Answer.done}, now, '' } end
call('SET', era, ARGV[2], 'NX')
return { ${Answer.done}, now, call('GET', era) }`;

const acquiring = `
if now > tonumber(ARGV[1]) then return { ${Answer.late}, now } end
return { ${Answer.done}, now, call('SET', KEYS[1], ARGV[2], 'NX', 'PX', ARGV[3]) and 1 or 0 }`;

const extending = `
if call('GET', KEYS[1]) ~= ARGV[1] then return { ${Answer.done}, now, 0 } end
call('PEXPIRE', KEYS[1], ARGV[2])
return { ${Answer.done}, now, 1 }`;

const releasing = `
if call('GET', KEYS[1]) == ARGV[1] then call('DEL', KEYS[1]) end
return { ${Answer.done}, now }`;

const holding = `
return { ${Answer.done}, now, call('GET', KEYS[1]) or '' }`;

const publishing = `
call('PUBLISH', ARGV[1], ARGV[2])
return { ${Answer.done}, now }`;

const taking = `
if now > tonumber(ARGV[1]) then return { ${Answer.late}, now } end
local rate, burst = tonumber(ARGV[2]), tonumber(ARGV[3])
local stamp = time[1] * 1000000 + time[2]
local bucket = call('HMGET', KEYS[1], 'permits', 'at')
local permits, passed = tonumber(bucket[1] or burst), stamp - tonumber(bucket[2] or stamp)
permits = math.min(burst, permits + math.max(0, passed) * rate / 1000000)
local taken = permits >= 1 and 1 or 0
call('HSET', KEYS[1], 'permits', string.format('%.6f', permits - taken), 'at', text(stamp))
-- By then it is full, which it is as well when it is not there.
call('PEXPIRE', KEYS[1], text(math.min(burst / rate * 1000, 1e12) + 1000))
return { ${Answer.done}, now, taken }`;

const keeping = `
if now > tonumber(ARGV[1]) then return { ${Answer.late}, now } end
if ARGV[3] == '1' and not call('GET', KEYS[2]) then
  call('SET', KEYS[1], ARGV[2])
else
  call('SET', KEYS[1], ARGV[2], 'NX')
end
return { ${Answer.done}, now, call('GET', KEYS[1]) }`;
