// The Lua that Redis runs for the outbox. Redis 7.0 or newer.
//
// KEYS  outbox     stream  entries of one shard, see below
//       reader     string  who reads the shard, for as long as its lease lasts
//       delivered  hash    sink → id of the last entry that it has
//       members    hash    who reads at all → end of its lease and entries that wait for it; of all shards
//       parked     stream  events that sinks refused; of all shards
// Entries of the outbox, by the names of their fields. The quota store writes all but the last:
//       reserved <text>                          skipped: the request's end follows
//       finished|refunded <text> event <event>   an event; an empty one is skipped
//       abandoned <1 or 0, charged> of <text>    text is JSON with the start of an event as `intent`
//       event <event>
// Answers begin with 1 (done) or 0 (not the reader, no room) and Redis' time.

/** The text of each script. `allow-oom`: what empties the outbox also runs when Redis is full. */
export function outboxScripts() {
  const always = "#!lua flags=allow-oom";
  const read = "#!lua flags=no-writes";
  return {
    /** KEYS members; own id, ms, entries that wait. Answers id and waiting of each member. */
    meet: script(always, "members", meeting),
    /** KEYS members; own id. */
    leave: script(always, "members", "call('HDEL', members, ARGV[1])\nreturn { 1, now }"),
    /** KEYS reader, delivered, outbox; own id, ms, then sinks. Answers the number of entries and each sink's mark, or ''. */
    claim: script(always, "reader, delivered, outbox", claiming),
    /** KEYS reader; own id. */
    release: script(
      always,
      "reader",
      "if call('GET', reader) == ARGV[1] then call('DEL', reader) end\nreturn { 1, now }",
    ),
    /** KEYS outbox; mark or '', count. Answers entries looked at, id of the last, then id, kind and text of each event. */
    scan: script(read, "outbox", scanning),
    /** KEYS reader, delivered, outbox; own id, mark, then sinks, the one that has it first. Answers the number of entries. */
    acknowledge: script(always, "reader, delivered, outbox", marks, acknowledging),
    /** KEYS reader, delivered, outbox; own id, count, then sinks. Answers the number of entries, id, and each sink's losses. */
    discard: script(always, "reader, delivered, outbox", marks, discarding),
    /** KEYS parked; most, sink, why, event. */
    park: script("#!lua", "parked", parking),
  } as const;
}

function script(header: string, keys: string, ...parts: readonly string[]): string {
  return [header, `local ${keys} = unpack(KEYS)`, prelude, ...parts].join("\n");
}

const prelude = `
local call = redis.call
local time = call('TIME')
local now = math.floor(time[1] * 1000 + time[2] / 1000)`;

/** Ids of entries: ms and number, in that order. */
const marks = `
local function parts_of(id)
  local ms, number = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(number)
end

local function is_newer(id, other)
  local ms, number = parts_of(id)
  local other_ms, other_number = parts_of(other)
  return ms > other_ms or (ms == other_ms and number > other_number)
end

local function after(id)
  local ms, number = parts_of(id)
  return string.format('%d-%d', ms, number + 1)
end

-- Moves a sink's mark on, never back. Returns where it is then.
local function advance(sink, id)
  local mark = call('HGET', delivered, sink)
  if mark and not is_newer(id, mark) then return mark end
  call('HSET', delivered, sink, id)
  return id
end`;

const meeting = `
local own, ms, waiting = ARGV[1], tonumber(ARGV[2]), ARGV[3]
call('HSET', members, own, string.format('%d %s', now + ms, waiting))
call('PEXPIRE', members, 10 * ms)
local all, answer = call('HGETALL', members), { 1, now }
for i = 1, #all, 2 do
  local ends, entries = string.match(all[i + 1], '^(%d+) (%d+)$')
  if tonumber(ends) > now then
    answer[#answer + 1] = all[i]
    answer[#answer + 1] = entries
  else
    call('HDEL', members, all[i])
  end
end
return answer`;

const claiming = `
local owner = call('GET', reader)
if owner and owner ~= ARGV[1] then return { 0, now } end
call('SET', reader, ARGV[1], 'PX', ARGV[2])
local answer = { 1, now, call('XLEN', outbox) }
for i = 3, #ARGV do answer[#answer + 1] = call('HGET', delivered, ARGV[i]) or '' end
return answer`;

const scanning = `
local from = ARGV[1] == '' and '-' or '(' .. ARGV[1]
local entries = call('XRANGE', outbox, from, '+', 'COUNT', ARGV[2])
local last = entries[#entries]
local answer = { 1, now, #entries, last and last[1] or '' }
for _, entry in ipairs(entries) do
  local fields, kind, text = entry[2], 'event', ''
  if fields[1] == 'event' then
    text = fields[2]
  elseif fields[3] == 'event' then
    text = fields[4]
  elseif fields[1] == 'abandoned' then
    kind, text = fields[2] == '1' and 'charged' or 'free', fields[4]
  end
  if text ~= '' then
    local n = #answer
    answer[n + 1], answer[n + 2], answer[n + 3] = entry[1], kind, text
  end
end
return answer`;

/** What all sinks have goes: whole nodes of the stream, then the rest of one, so that a call never has many to remove. */
const acknowledging = `
if call('GET', reader) ~= ARGV[1] then return { 0, now } end
local least = advance(ARGV[3], ARGV[2])
for i = 4, #ARGV do
  local mark = call('HGET', delivered, ARGV[i])
  if not mark then return { 1, now, call('XLEN', outbox) } end
  if is_newer(least, mark) then least = mark end
end
local min = after(least)
if call('XTRIM', outbox, 'MINID', '~', min, 'LIMIT', '2000') < 1000 then call('XTRIM', outbox, 'MINID', min) end
return { 1, now, call('XLEN', outbox) }`;

const discarding = `
if call('GET', reader) ~= ARGV[1] then return { 0, now } end
local entries = call('XRANGE', outbox, '-', '+', 'COUNT', ARGV[2])
if #entries == 0 then return { 1, now, 0, '' } end
local last = entries[#entries][1]
local lost = {}
for i = 3, #ARGV do
  local mark, count = call('HGET', delivered, ARGV[i]), 0
  for _, entry in ipairs(entries) do
    local fields = entry[2]
    local skipped = fields[1] == 'reserved' or (fields[3] == 'event' and fields[4] == '')
    if not skipped and not (mark and not is_newer(entry[1], mark)) then count = count + 1 end
  end
  lost[#lost + 1] = count
  advance(ARGV[i], last)
end
call('XTRIM', outbox, 'MINID', after(last))
return { 1, now, call('XLEN', outbox), last, unpack(lost) }`;

const parking = `
if call('XLEN', parked) >= tonumber(ARGV[1]) then return { 0, now } end
call('XADD', parked, '*', 'sink', ARGV[2], 'why', ARGV[3], 'event', ARGV[4])
return { 1, now }`;
