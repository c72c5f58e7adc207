#!lua flags=allow-oom
-- Keeps feedback and disconnections of one app, once: a repeat of the call changes nothing, whenever it arrives. Returns the
-- number of entries that were held back.
-- KEYS: meta, feedback, its positions, held feedback, holds, log, calls of the writer.
-- ARGV: an epoch for a new history, app, the doubtful reason, number of the call, the writer's lowest call that it may
-- repeat, longest log, milliseconds until the writer's calls are forgotten, number of feedback entries; token and entry of
-- each; then the disconnections.
local meta, list, positions, held, holds, log, calls = unpack(KEYS)
local epoch, app, doubtful, call, lowest, log_max, calls_ms, feedback = unpack(ARGV, 1, 8)

for _, known in ipairs(redis.call('ZRANGEBYSCORE', calls, call, call)) do
  if known ~= 'lowest' then
    return tonumber(string.match(known, ' (%d+)$'))
  end
end
-- A call that the writer does not repeat any more was on its way for long: it has taken effect, or was given up.
local lowest_known = tonumber(redis.call('ZSCORE', calls, 'lowest') or '0')
if tonumber(call) < lowest_known then
  return 0
end
begin(meta, epoch)
local quarantined = redis.call('HEXISTS', holds, app) == 1
local held_back = 0
local first = next_of(meta, 'pos_f')
local position = first
local at = 9
for _ = 1, feedback do
  local token, entry = ARGV[at], ARGV[at + 1]
  at = at + 2
  if quarantined and reason_of(entry) == doubtful then
    held_back = held_back + 1
    if is_newest(held, token, entry) then
      redis.call('HSET', held, token, entry)
    end
  elseif is_newest(list, token, entry) then
    redis.call('HSET', list, token, entry)
    redis.call('ZADD', positions, text(position), token)
    position = position + 1
  end
end
if position > first then
  redis.call('HSET', meta, 'pos_f', text(position - 1))
end

if at <= #ARGV then
  local logged = next_of(meta, 'pos_d')
  for entry = at, #ARGV do
    redis.call('XADD', log, text(logged + entry - at) .. '-0', 'entry', ARGV[entry])
  end
  redis.call('HSET', meta, 'pos_d', text(logged + #ARGV - at))
  redis.call('XTRIM', log, 'MAXLEN', log_max)
end

lowest = math.max(tonumber(lowest), lowest_known)
redis.call('ZREMRANGEBYSCORE', calls, '-inf', '(' .. text(lowest))
redis.call('ZADD', calls, text(lowest), 'lowest')
redis.call('ZADD', calls, call, call .. ' ' .. held_back)
redis.call('PEXPIRE', calls, calls_ms)
return held_back
