-- Functions that the scripts share. They come after the first line of each script.

-- The format of everything below the prefix. A script refuses to write into another format.
local FORMAT = '1'

-- The server's clock in microseconds: a double holds it exactly until the year 2255.
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- A whole number as Redis stores it: Lua's own text has 14 digits.
local function text(number)
  return string.format('%.0f', number)
end

-- The last number of a counter.
local function last(meta, counter)
  return tonumber(redis.call('HGET', meta, counter) or '0')
end

-- The next number of a counter: after its last one, and not before the server's clock. So a counter that lost its last
-- numbers by a failover, or all of them, gives none of them to anything else.
local function next_of(meta, counter)
  return math.max(last(meta, counter) + 1, now())
end

-- Moves a counter, and returns its new number.
local function move(meta, counter)
  local number = next_of(meta, counter)
  redis.call('HSET', meta, counter, text(number))
  return number
end

-- Begins a history in an empty store, and ends the script if another version owns the store.
local function begin(meta, epoch)
  local format = redis.call('HGET', meta, 'format')
  if not format then
    redis.call('HSET', meta, 'format', FORMAT, 'epoch', epoch)
  elseif format ~= FORMAT then
    error(redis.error_reply('FORMAT a newer pyapns keeps its keys here in format ' .. format
      .. ': upgrade this one, or choose another store.prefix'))
  end
end

-- True for a cursor that this store gave out, and for the start of every list.
local function is_ours(meta, counter, epoch, position)
  if epoch == '0' and position == '0' then
    return true
  end
  local newest = math.max(last(meta, counter), now())
  return redis.call('HGET', meta, 'epoch') == epoch and tonumber(position) <= newest
end
