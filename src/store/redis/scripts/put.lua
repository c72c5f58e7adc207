#!lua
-- Keeps an app if it is as expected. Returns 1 and its revision, or 0 and the revision that is stored instead, if any. An
-- app that is stored already with this content stays as it is.
-- KEYS: meta, apps, entries, changes, removals. ARGV: an epoch for a new history, app, what is expected, content.
local meta, apps, entries, changed, removed = unpack(KEYS)
local epoch, app, expected, content = unpack(ARGV)
begin(meta, epoch)
local stored = redis.call('HGET', apps, app)
local revision, present
if stored then
  revision, present = parts(stored)
end
if present == content then
  return {1, revision}
end
if not is_expected(expected, revision) then
  return {0, revision}
end
return {1, write(meta, apps, entries, changed, removed, app, content)}
