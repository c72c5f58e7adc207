-- Functions for feedback. Each entry is `TIMESTAMP REASON` under its token.

local function timestamp_of(entry)
  return tonumber(string.match(entry, '^%S+'))
end

local function reason_of(entry)
  return string.match(entry, ' (.*)$')
end

-- True if a list has no entry of the token that is as new.
local function is_newest(list, token, entry)
  local kept = redis.call('HGET', list, token)
  return not kept or timestamp_of(kept) < timestamp_of(entry)
end

-- Ends an app's quarantine.
local function end_quarantine(meta, holds, app)
  if redis.call('HDEL', holds, app) == 1 then
    move(meta, 'holds')
  end
end
