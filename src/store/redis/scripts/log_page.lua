#!lua flags=no-writes,allow-oom
-- Returns the store's epoch, then position and entry of the disconnections after a cursor; nil for a cursor that the store
-- did not give out.
-- KEYS: meta, log. ARGV: epoch and position of the cursor, most entries.
local meta, log = unpack(KEYS)
local epoch, position, limit = unpack(ARGV)
if not is_ours(meta, 'pos_d', epoch, position) then
  return false
end
local page = {redis.call('HGET', meta, 'epoch') or '0'}
for _, found in ipairs(redis.call('XRANGE', log, '(' .. position .. '-0', '+', 'COUNT', limit) or {}) do
  page[#page + 1] = string.match(found[1], '^%d+')
  page[#page + 1] = found[2][2]
end
return page
