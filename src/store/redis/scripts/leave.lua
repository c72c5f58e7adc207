#!lua flags=allow-oom
-- Ends a node's lease and membership if they are the session's, and returns 1 if one of them was.
-- KEYS: the node's lease, members, meta. ARGV: node, session.
local lease, members, meta = unpack(KEYS)
local node, session = unpack(ARGV)
local ended = 0
if redis.call('GET', lease) == session then
  ended = redis.call('DEL', lease)
end
local stored = redis.call('HGET', members, node)
if stored and string.match(stored, '^%d+ (%S+) ') == session then
  ended = redis.call('HDEL', members, node)
  move(meta, 'members')
end
return ended
