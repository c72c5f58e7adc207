#!lua flags=allow-oom
-- Forgets the oldest feedback up to and with a cursor, and returns the number of entries; nil for a cursor that the store
-- did not give out.
-- KEYS: meta, feedback, its positions. ARGV: epoch and position of the cursor, most entries.
local meta, list, positions = unpack(KEYS)
local epoch, position, limit = unpack(ARGV)
if not is_ours(meta, 'pos_f', epoch, position) then
  return false
end
local found = redis.call('ZRANGEBYSCORE', positions, '-inf', position, 'LIMIT', 0, limit)
for _, token in ipairs(found) do
  redis.call('HDEL', list, token)
  redis.call('ZREM', positions, token)
end
return #found
