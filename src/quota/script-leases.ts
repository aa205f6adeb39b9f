// Parts of the scripts: what becomes of holds whose lease ended. `scripts.ts` says what the names in them are.

import { sparedMs } from "./store.js";

/** Whether Redis was away, as far as the caller knows. */
export const wasAway = "now - (tonumber(heard) or now) > silent_ms";

/** Lets all holds of the shard whose lease ended live on for as long as it takes their processes to come back. */
export const sparing = `
for _, member in ipairs(call('ZRANGE', leases, '-inf', now_text, 'BYSCORE')) do
  call('ZADD', leases, text(now + math.min(lease_ms, ${sparedMs})), member)
end`;

/** Ending a hold whose lease ended. */
export const abandoning = `
local function as_held() return nil end

-- Ends a hold whose lease ended.
local function abandon(told, who, id)
  local packed, reached = unpack(call('HMGET', holds, '=' .. id, '!' .. id))
  if not packed then
    call('ZREM', leases, who .. id)
    return
  end
  local record = { cmsgpack.unpack(packed) }
  local charged = reached and '1' or '0'
  end_hold(who, id, record, reached and as_held or nothing)
  call('RPUSH', abandoned, record[1], charged)
  if told == '1' then call('XADD', outbox, '*', 'abandoned', charged, 'of', record[1]) end
end`;

/**
 * Ends the actor's holds whose lease ended, before anything is decided. Wants `told` and `who`. Functions that are wanted only
 * where there are such holds are defined there: it takes Redis a tenth of its time to define them.
 */
export const settleDue = (...definitions: readonly string[]): string => `
local due = call('ZRANGE', leases, '-inf', now_text, 'BYSCORE', 'LIMIT', '0', '100')
if #due > 0 and ${wasAway} then
  ${sparing}
  due = {}
end
if #due > 0 then
  ${definitions.join("\n")}
  for i = 1, #due do
    if string.sub(due[i], 1, #who) == who then abandon(told, who, string.sub(due[i], #who + 1)) end
  end
  -- So many may be due in the shard that the actor's are not among the first.
  for _, field in ipairs(#due == 100 and call('HKEYS', holds) or {}) do
    local id = string.sub(field, 2)
    if string.sub(field, 1, 1) == '=' then
      local ends = call('ZSCORE', leases, who .. id)
      if not ends or tonumber(ends) <= now then abandon(told, who, id) end
    end
  end
end`;
