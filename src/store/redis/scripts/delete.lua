#!lua flags=allow-oom
-- Forgets an app with its events and pins if it is as expected. Returns 1 and the revision of the removal, 0 and the revision that is
-- stored instead, or nothing if there is no app; what has its name is forgotten then, too.
-- KEYS: meta, apps, changes, holds, removals, pins, then the keys of the app's events. ARGV: an epoch for a new history, app,
-- what is expected, most removals to keep.
local meta, apps, changed, holds, removed, pins = unpack(KEYS)
local epoch, app, expected, removals_max = unpack(ARGV)
begin(meta, epoch)
local events = {unpack(KEYS, 7)}
local stored = redis.call('HGET', apps, app)
if not stored then
  forget_events(meta, holds, app, events)
  forget_pins(meta, pins, app)
  return {}
end
local revision = parts(stored)
if not is_expected(expected, revision) then
  return {0, revision}
end
return {1, remove(meta, apps, changed, removed, holds, pins, app, events, removals_max)}
