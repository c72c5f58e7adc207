#!lua
-- Stores a decision of an operator, and returns `changed`, `same` if it was stored already, `full`, or `no_app` if there is no
-- such app: its pins would outlive it.
-- KEYS: pins, meta, apps. ARGV: an epoch for a new history, the decision's subject, the decision, most decisions, the app
-- of the lane if it is about one.
local pins, meta, apps = unpack(KEYS)
local epoch, subject, decision, most, app = unpack(ARGV)
begin(meta, epoch)
if app and redis.call('HEXISTS', apps, app) == 0 then
  return 'no_app'
end
local stored = redis.call('HGET', pins, subject)
if stored == decision then
  return 'same'
end
if not stored and redis.call('HLEN', pins) >= tonumber(most) then
  return 'full'
end
redis.call('HSET', pins, subject, decision)
move(meta, 'members')
return 'changed'
