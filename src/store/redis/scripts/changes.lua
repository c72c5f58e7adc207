#!lua flags=no-writes,allow-oom
-- Returns the store's epoch, its newest revision, and a list of the apps that changed after a revision, oldest change first:
-- app, revision and record (nil if it was removed) of each.
-- KEYS: meta, apps, changes. ARGV: the revision, most apps, bytes after which no more apps are added.
local meta, apps, changed = unpack(KEYS)
local since, limit, bytes_max = unpack(ARGV)
local found = redis.call('ZRANGEBYSCORE', changed, '(' .. since, '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
local changes = {}
local bytes = 0
for at = 1, #found, 2 do
  local record = redis.call('HGET', apps, found[at])
  changes[#changes + 1] = {found[at], found[at + 1], record}
  bytes = bytes + #(record or '')
  if bytes > tonumber(bytes_max) then
    break
  end
end
return {redis.call('HGET', meta, 'epoch') or '0', text(last(meta, 'rev')), changes}
