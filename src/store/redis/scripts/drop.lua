#!lua flags=allow-oom
-- Forgets an app's held feedback, and ends the quarantine. Returns the number of entries that were held.
-- KEYS: meta, held feedback, holds. ARGV: an epoch for a new history, app.
local meta, held, holds = unpack(KEYS)
begin(meta, ARGV[1])
local count = redis.call('HLEN', held)
redis.call('UNLINK', held)
end_quarantine(meta, holds, ARGV[2])
return count
