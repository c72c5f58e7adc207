#!lua flags=allow-oom
-- Forgets an app and its events if it is as expected. Returns 1 and the revision of the removal, 0 and the revision that is
-- stored instead, or nothing if there is no app; events of its name are forgotten then, too.
-- KEYS: meta, apps, changes, holds, removals, then the keys of the app's events. ARGV: an epoch for a new history, app,
-- what is expected, most removals to keep.
local meta, apps, changed, holds, removed = unpack(KEYS)
local epoch, app, expected, removals_max = unpack(ARGV)
begin(meta, epoch)
local events = {unpack(KEYS, 6)}
local stored = redis.call('HGET', apps, app)
if not stored then
  forget_events(meta, holds, app, events)
  return {}
end
local revision = parts(stored)
if not is_expected(expected, revision) then
  return {0, revision}
end
return {1, remove(meta, apps, changed, removed, holds, app, events, removals_max)}
