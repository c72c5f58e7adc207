-- Functions for apps. A record is `1 REVISION CONTENT`; 1 is the format of the record. The content is the number of bytes
-- of the entry's fingerprint (or `-` for an app without entry), a line feed, the fingerprint, and JSON.

local function parts(record)
  local revision, content = string.match(record, '^1 (%d+) (.*)$')
  if not revision then
    error(redis.error_reply('RECORD a newer pyapns wrote this app: upgrade this one'))
  end
  return revision, content
end

local function entry_of(content)
  local length, rest = string.match(content, '^(%S+)\n(.*)$')
  if length ~= '-' then
    return string.sub(rest, 1, tonumber(length))
  end
end

-- Notes that an app changed or was removed, and returns the revision of that.
local function note_change(meta, changed, app)
  local revision = text(move(meta, 'rev'))
  redis.call('ZADD', changed, revision, app)
  return revision
end

local function write(meta, apps, entries, changed, removed, app, content)
  local revision = note_change(meta, changed, app)
  redis.call('ZREM', removed, app)
  redis.call('HSET', apps, app, '1 ' .. revision .. ' ' .. content)
  local entry = entry_of(content)
  if entry then
    redis.call('HSET', entries, app, entry)
  end
  return revision
end

-- Forgets an app's events.
local function forget_events(meta, holds, app, events)
  for _, key in ipairs(events) do
    redis.call('UNLINK', key)
  end
  if redis.call('HDEL', holds, app) == 1 then
    move(meta, 'holds')
  end
end

-- Forgets the decisions of operators about an app's lanes: the fields that are the app, `/` and a number.
local function forget_pins(meta, pins, app)
  local beginning, moved = app .. '/', false
  for _, subject in ipairs(redis.call('HKEYS', pins)) do
    if string.sub(subject, 1, #beginning) == beginning and string.find(subject, '^%d+$', #beginning + 1) then
      redis.call('HDEL', pins, subject)
      moved = true
    end
  end
  if moved then
    move(meta, 'members')
  end
end

-- Forgets the oldest removals but the newest so many.
local function forget_removals(meta, changed, removed, most)
  local over = redis.call('ZCARD', removed) - most
  if over <= 0 then
    return
  end
  local oldest = redis.call('ZRANGEBYSCORE', removed, '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, math.min(over, 100))
  for at = 1, #oldest, 2 do
    redis.call('ZREM', removed, oldest[at])
    redis.call('ZREM', changed, oldest[at])
  end
  redis.call('HSET', meta, 'forgotten', oldest[#oldest])
end

-- Forgets an app with its events and pins, and returns the revision of that.
local function remove(meta, apps, changed, removed, holds, pins, app, events, removals_max)
  redis.call('HDEL', apps, app)
  forget_pins(meta, pins, app)
  forget_events(meta, holds, app, events)
  local revision = note_change(meta, changed, app)
  redis.call('ZADD', removed, revision, app)
  forget_removals(meta, changed, removed, removals_max)
  return revision
end

-- True if an app is as its writer expects: `any`, `absent` or a revision.
local function is_expected(expected, revision)
  return expected == 'any' or expected == (revision or 'absent')
end
