#!lua flags=allow-oom
-- Makes some of an app's held feedback readable, and ends the quarantine with the last of it. Returns the number of entries
-- that were held, and the number of those still held.
-- KEYS: meta, feedback, its positions, held feedback, holds.
-- ARGV: an epoch for a new history, app, most entries.
local meta, list, positions, held, holds = unpack(KEYS)
local epoch, app, limit = unpack(ARGV)

begin(meta, epoch)
local found = redis.call('HRANDFIELD', held, limit, 'WITHVALUES')
local entries, tokens = {}, {}
for at = 1, #found, 2 do
  tokens[#tokens + 1] = found[at]
  entries[found[at]] = found[at + 1]
end
table.sort(tokens)
local first = next_of(meta, 'pos_f')
local position = first
for _, token in ipairs(tokens) do
  if is_newest(list, token, entries[token]) then
    redis.call('HSET', list, token, entries[token])
    redis.call('ZADD', positions, text(position), token)
    position = position + 1
  end
  redis.call('HDEL', held, token)
end
if position > first then
  redis.call('HSET', meta, 'pos_f', text(position - 1))
end
local left = redis.call('HLEN', held)
if left == 0 then
  end_quarantine(meta, holds, app)
end
return {#tokens, left}
