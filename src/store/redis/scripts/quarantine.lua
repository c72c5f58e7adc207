#!lua flags=allow-oom
-- Begins an app's quarantine in its first step, and holds back some of the doubtful feedback that waits. Returns the number
-- of entries that were held back, the position to go on after, and the last position; or nothing but the number if all is
-- done.
-- KEYS: meta, feedback, its positions, held feedback, holds.
-- ARGV: an epoch for a new history, app, the quarantine, the doubtful reason, most entries to look at; from the second step
-- on the position to go on after, and the last position.
local meta, list, positions, held, holds = unpack(KEYS)
local epoch, app, quarantine, doubtful, limit, after, through = unpack(ARGV)

if not after then
  begin(meta, epoch)
  if redis.call('HSETNX', holds, app, quarantine) == 1 then
    move(meta, 'holds')
  end
  after, through = '-1', text(last(meta, 'pos_f'))
elseif redis.call('HEXISTS', holds, app) == 0 then
  return {0}
end
local found = redis.call('ZRANGEBYSCORE', positions, '(' .. after, through, 'WITHSCORES', 'LIMIT', 0, limit)
local held_back = 0
for at = 1, #found, 2 do
  local token = found[at]
  local entry = redis.call('HGET', list, token)
  if entry and reason_of(entry) == doubtful then
    held_back = held_back + 1
    if is_newest(held, token, entry) then
      redis.call('HSET', held, token, entry)
    end
    redis.call('HDEL', list, token)
    redis.call('ZREM', positions, token)
  end
end
if #found < 2 * limit then
  return {held_back}
end
return {held_back, found[#found], through}
