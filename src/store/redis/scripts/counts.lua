#!lua flags=no-writes,allow-oom
-- Returns the numbers of an app's entries.
-- KEYS: feedback, held feedback, log.
return {redis.call('HLEN', KEYS[1]), redis.call('HLEN', KEYS[2]), redis.call('XLEN', KEYS[3])}
