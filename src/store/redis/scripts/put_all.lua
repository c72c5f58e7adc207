#!lua
-- Keeps apps that are stored under the revision given, and returns the number of those.
-- KEYS: meta, apps, entries, changes, removals. ARGV: an epoch for a new history; app, revision and content of each.
local meta, apps, entries, changed, removed = unpack(KEYS)
begin(meta, ARGV[1])
local kept = 0
for at = 2, #ARGV, 3 do
  local stored = redis.call('HGET', apps, ARGV[at])
  if stored and parts(stored) == ARGV[at + 1] then
    write(meta, apps, entries, changed, removed, ARGV[at], ARGV[at + 2])
    kept = kept + 1
  end
end
return kept
