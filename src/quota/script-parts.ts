// Parts of the scripts: what several of them call. `scripts.ts` says what the names in them are.

/** Counters, and where rules stand. */
export const standing = `
local function read_counters(keys)
  local found = {}
  if #keys == 0 then return found end
  local values = call('HMGET', counters, unpack(keys))
  for i = 1, #keys do
    if values[i] then
      local used, held, opened, ends = cmsgpack.unpack(values[i])
      found[keys[i]] = { used = used, held = held, opened = opened, ends = ends }
    end
  end
  return found
end

local function group_of(key) return string.match(key, '^.-@') end

-- What a rule is counted under: its key, or, where there is no room for another member, that of its group.
local function counted_as(key, found)
  local group = group_of(key)
  if not group or found[key] or call('HLEN', counters) < max_counters then return key end
  found[group] = read_counters({ group })[group]
  return group
end

local function packed_counter(counter)
  return cmsgpack.pack(counter.used, counter.held, counter.opened, counter.ends)
end

-- used, held and resetAt (0: none) of a rule. Rules without a window are in flight: all that is used is held.
local function state_of(counter, in_flight, window)
  if window == 0 then
    local count = tonumber(in_flight or 0)
    return count, count, 0
  end
  if not counter then return 0, 0, 0 end
  local ends = math.min(counter.ends, math.floor(counter.opened / 1000) + window)
  if ends <= now then return 0, 0, 0 end
  return counter.used, counter.held, ends
end`;

/** Ending holds. A record is: entry, then key, limit, windowMs, amount, openedAt, used, held, resetAt of each rule. */
export const ending = `
local function remember(id)
  call('ZADD', settled, text(now + remember_ms), id)
  if call('PTTL', settled) < remember_ms then call('PEXPIRE', settled, text(2 * remember_ms)) end
end

-- Ends a live hold at what \`used_of(key)\` says, nil: as held.
local function end_hold(who, id, record, used_of)
  local keys, changes, gone = {}, {}, { '=' .. id, '!' .. id }
  for i = 2, #record, share_size do
    if record[i + 2] > 0 then keys[#keys + 1] = record[i] end
  end
  local found = read_counters(keys)
  for i = 2, #record, share_size do
    local key, amount, counter = record[i], record[i + 3], found[record[i]]
    if record[i + 2] == 0 then
      if call('HINCRBY', holds, '#' .. key, '-1') <= 0 then gone[#gone + 1] = '#' .. key end
    elseif counter and counter.opened == record[i + 4] then
      counter.held = counter.held - amount
      counter.used = counter.used - amount + (used_of(key) or amount)
      changes[#changes + 1] = key
      changes[#changes + 1] = packed_counter(counter)
    end
  end
  if #changes > 0 then call('HSET', counters, unpack(changes)) end
  call('HDEL', holds, unpack(gone))
  call('ZREM', leases, who .. id)
  remember(id)
  -- One in eight forgets up to 32 ids that are past their time: no call ever has many to forget.
  if stamp % 8 == 0 then
    local oldest = call('ZRANGE', settled, '31', '31', 'WITHSCORES')
    if oldest[2] and tonumber(oldest[2]) <= now then call('ZREMRANGEBYRANK', settled, '0', '31') end
  end
  return found
end

local function nothing() return 0 end`;
