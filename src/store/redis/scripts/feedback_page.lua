#!lua flags=no-writes,allow-oom
-- Returns the store's epoch, then position, token and entry of the feedback after a cursor; nil for a cursor that the store
-- did not give out.
-- KEYS: meta, feedback, its positions. ARGV: epoch and position of the cursor, most entries.
local meta, list, positions = unpack(KEYS)
local epoch, position, limit = unpack(ARGV)
if not is_ours(meta, 'pos_f', epoch, position) then
  return false
end
local found = redis.call('ZRANGEBYSCORE', positions, '(' .. position, '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
local page = {redis.call('HGET', meta, 'epoch') or '0'}
for at = 1, #found, 2 do
  page[#page + 1] = found[at + 1]
  page[#page + 1] = found[at]
  page[#page + 1] = redis.call('HGET', list, found[at]) or ''
end
return page
