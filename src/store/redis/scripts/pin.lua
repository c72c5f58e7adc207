#!lua
-- Stores a decision of an operator, and returns `changed`, `same` if it was stored already, or `full`.
-- KEYS: pins, meta. ARGV: an epoch for a new history, the decision's subject, the decision, most decisions.
local pins, meta = unpack(KEYS)
local epoch, subject, decision, most = unpack(ARGV)
begin(meta, epoch)
local stored = redis.call('HGET', pins, subject)
if stored == decision then
  return 'same'
end
if not stored and redis.call('HLEN', pins) >= tonumber(most) then
  return 'full'
end
redis.call('HSET', pins, subject, decision)
move(meta, 'members')
return 'changed'
