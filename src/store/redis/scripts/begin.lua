#!lua flags=allow-oom
-- Begins a history if the store has none, and returns its epoch.
-- KEYS: meta. ARGV: an epoch for a new history.
begin(KEYS[1], ARGV[1])
return redis.call('HGET', KEYS[1], 'epoch')
