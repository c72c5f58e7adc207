#!lua flags=allow-oom
-- Makes or renews a node's lease, writes its member record, and returns what a node has to know: the lease (`renewed`,
-- `made`, or `taken` by another session), the server's clock in microseconds, the epoch, the revisions of apps, of quarantines
-- and of members, the live nodes; and if their revision is not the known one, the node, session and record of each member,
-- and the decisions of operators.
-- KEYS: the node's lease, members, meta, pins.
-- ARGV: an epoch for a new history, node, session, milliseconds of the lease, member record, known revision of the members,
-- the leases' common beginning, microseconds after which a member without lease is forgotten.
local lease, members, meta, pins = unpack(KEYS)
local epoch, node, session, lease_ms, record, known, leases, forgotten_us = unpack(ARGV)

begin(meta, epoch)
local mine = 'renewed'
local owner = redis.call('GET', lease)
if owner and owner ~= session then
  mine = 'taken'
else
  if not owner then
    mine = 'made'
  end
  redis.call('SET', lease, session, 'PX', lease_ms)
end

-- A member is `SINCE SESSION RECORD`: since when its lease is gone, 0 while it has one.
local time, moved = now(), false
local mine_now = '0 ' .. session .. ' ' .. record
local stored = redis.call('HGET', members, node)
if mine ~= 'taken' and stored ~= mine_now then
  redis.call('HSET', members, node, mine_now)
  moved = not stored or string.match(stored, ' (.*)$') ~= session .. ' ' .. record
end
local live, all = {}, {}
local found = redis.call('HGETALL', members)
for at = 1, #found, 2 do
  local name = found[at]
  local since, member_session, member = string.match(found[at + 1], '^(%d+) (%S+) (.*)$')
  if redis.call('GET', leases .. name) == member_session then
    live[#live + 1] = name
    if since ~= '0' then
      redis.call('HSET', members, name, '0 ' .. member_session .. ' ' .. member)
    end
  elseif since == '0' then
    redis.call('HSET', members, name, text(time) .. ' ' .. member_session .. ' ' .. member)
  end
  if tonumber(since) > 0 and time - since > tonumber(forgotten_us) and live[#live] ~= name then
    redis.call('HDEL', members, name)
    moved = true
  else
    all[#all + 1] = name
    all[#all + 1] = member_session
    all[#all + 1] = member
  end
end
if moved then
  move(meta, 'members')
end
local counters = redis.call('HMGET', meta, 'epoch', 'rev', 'holds', 'members')
local heard = {mine, text(time), counters[1], counters[2] or '0', counters[3] or '0', counters[4] or '0', live}
if heard[6] ~= known then
  heard[8] = all
  heard[9] = redis.call('HGETALL', pins)
end
return heard
