#!lua flags=allow-oom
-- Takes a decision of an operator back, and returns 1 if there was one.
-- KEYS: pins, meta. ARGV: the decision's subject.
local pins, meta = unpack(KEYS)
local ended = redis.call('HDEL', pins, ARGV[1])
if ended == 1 then
  move(meta, 'members')
end
return ended
