#!lua flags=allow-oom
-- Notes that the store's history takes the place of another one, and returns the epoch of the store then. If both are the
-- same, the store begins another epoch. Changes nothing if the store has another epoch than the caller knows.
-- KEYS: meta. ARGV: an epoch for a new history, the epoch that the caller knows, the epoch that it takes the place of, the
-- number of such epochs to keep.
local meta = KEYS[1]
local fresh, present, replaced, most = unpack(ARGV)
begin(meta, fresh)
if redis.call('HGET', meta, 'epoch') ~= present then
  return redis.call('HGET', meta, 'epoch')
end
local kept, count = replaced, 1
for epoch in string.gmatch(redis.call('HGET', meta, 'succeeds') or '', '%S+') do
  if epoch ~= replaced and count < tonumber(most) then
    kept, count = kept .. ' ' .. epoch, count + 1
  end
end
if present == replaced then
  present = fresh
end
redis.call('HSET', meta, 'succeeds', kept, 'epoch', present)
return present
