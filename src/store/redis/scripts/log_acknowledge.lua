#!lua flags=allow-oom
-- Forgets the disconnections up to and with a cursor, and returns the number of entries; nil for a cursor that the store did
-- not give out.
-- KEYS: meta, log. ARGV: epoch and position of the cursor.
local meta, log = unpack(KEYS)
local epoch, position = unpack(ARGV)
if not is_ours(meta, 'pos_d', epoch, position) then
  return false
end
local gone = redis.call('XTRIM', log, 'MINID', position .. '-1')
if gone > 0 and redis.call('XLEN', log) == 0 then
  redis.call('UNLINK', log)
end
return gone
