#!lua flags=no-writes,allow-oom
-- Returns the store's epoch, the epochs that it takes the place of, its newest revision, the newest revision of a removal
-- that is forgotten, 1 if more changes follow (else 0), and a list of the apps that changed after a revision, oldest change
-- first: app, revision and record (nil if it was removed) of each.
-- KEYS: meta, apps, changes. ARGV: the revision, most apps, bytes after which no more apps are added.
local meta, apps, changed = unpack(KEYS)
local since, limit, bytes_max = unpack(ARGV)
local found = redis.call('ZRANGEBYSCORE', changed, '(' .. since, '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
local changes = {}
local bytes, more = 0, #found == 2 * limit
for at = 1, #found, 2 do
  local record = redis.call('HGET', apps, found[at])
  changes[#changes + 1] = {found[at], found[at + 1], record}
  bytes = bytes + #(record or '')
  if bytes > tonumber(bytes_max) and at + 1 < #found then
    more = true
    break
  end
end
local epoch = redis.call('HGET', meta, 'epoch') or '0'
local succeeds = redis.call('HGET', meta, 'succeeds') or ''
return {epoch, succeeds, text(last(meta, 'rev')), text(last(meta, 'forgotten')), more and 1 or 0, changes}
