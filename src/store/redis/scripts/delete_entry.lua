#!lua flags=allow-oom
-- Forgets an entry of the configuration, and the app that it made with its events and pins. Returns 1 if there was such an app.
-- KEYS: meta, apps, changes, holds, removals, pins, entries, then the keys of the app's events. ARGV: an epoch for a new history,
-- app, most removals to keep.
local meta, apps, changed, holds, removed, pins, entries = unpack(KEYS)
local epoch, app, removals_max = unpack(ARGV)
begin(meta, epoch)
redis.call('HDEL', entries, app)
local stored = redis.call('HGET', apps, app)
if not stored then
  return 0
end
local _, content = parts(stored)
if not entry_of(content) then
  return 0
end
remove(meta, apps, changed, removed, holds, pins, app, {unpack(KEYS, 8)}, removals_max)
return 1
