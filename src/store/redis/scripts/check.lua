#!lua
-- Replaces the sealed constant if it is as expected, and returns the one that is stored then.
-- KEYS: meta. ARGV: an epoch for a new history, the constant, the constant that it replaces (none: there is none yet).
local meta = KEYS[1]
local epoch, sealed, expected = unpack(ARGV)
begin(meta, epoch)
if redis.call('HGET', meta, 'check') == (expected or false) then
  redis.call('HSET', meta, 'check', sealed)
end
return redis.call('HGET', meta, 'check')
