#!lua
-- Gives an entry of the configuration, and the app that it made, another fingerprint.
-- KEYS: meta, apps, entries. ARGV: an epoch for a new history, app, fingerprint.
local meta, apps, entries = unpack(KEYS)
local epoch, app, fingerprint = unpack(ARGV)
begin(meta, epoch)
if redis.call('HEXISTS', entries, app) == 1 then
  redis.call('HSET', entries, app, fingerprint)
end
local stored = redis.call('HGET', apps, app)
if stored then
  local revision, content = parts(stored)
  local entry = entry_of(content)
  if entry then
    local head = #entry .. '\n' .. entry
    local body = string.sub(content, #head + 1)
    redis.call('HSET', apps, app, '1 ' .. revision .. ' ' .. #fingerprint .. '\n' .. fingerprint .. body)
  end
end
return 1
