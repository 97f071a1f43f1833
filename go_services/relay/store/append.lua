-- Appends to a room's log. KEYS: its record, its log, its members.
-- ARGV: epoch, relay, incarnation, keep (ms), keep the log (ms), greatest length, length past which only young entries
-- stay, how old those may be (ms), greatest age (ms), how many connections are lost or back, entity and for how long it is
-- lost (ms; -1: it is back) in turns, then for each entry: epoch, seq, sub, sub of the entry before, time, entry, joined
-- entity (0: none), member, left entity (0: none). Answers 'ok', 'fenced' or 'forgotten'.
local function number(value) return tonumber(value or '0') or 0 end
local function text(n) return string.format('%.0f', n) end
local record = redis.call('HMGET', KEYS[1], 'epoch', 'relay', 'incarnation', 'seq', 'sub', 'entity')
local epoch, mine, owner = number(record[1]), number(ARGV[1]), record[2] or ''
if epoch < mine then return 'forgotten' end
if epoch > mine or owner == '' then return 'fenced' end
if owner ~= ARGV[2] or record[3] ~= ARGV[3] then return 'forgotten' end
local seq, sub, entity, newest = number(record[4]), number(record[5]), number(record[6]), 0
local last
local first = 11 + 2 * number(ARGV[10])
for i = first, #ARGV, 9 do
  local s, b = number(ARGV[i + 1]), number(ARGV[i + 2])
  if s > seq or (s == seq and b > sub) then
    -- Only the first can have a gap before it: nothing is written yet.
    local next = s == seq + 1 and b == 0 and number(ARGV[i + 3]) == sub
    if not (next or s == seq and b == sub + 1) then return 'forgotten' end
    seq, sub, newest, last = s, b, number(ARGV[i + 4]), ARGV[i]
    -- The id holds the place: an entry of number 0 is a whisper before the first event.
    redis.call('XADD', KEYS[2], text(seq) .. '-' .. text(sub), 't', ARGV[i + 4], 'e', ARGV[i + 5])
    if ARGV[i + 6] ~= '0' then
      redis.call('HSET', KEYS[3], ARGV[i + 6], ARGV[i + 7])
      entity = math.max(entity, number(ARGV[i + 6]))
    end
    if ARGV[i + 8] ~= '0' then
      redis.call('HDEL', KEYS[3], ARGV[i + 8])
      redis.call('HDEL', KEYS[1], 'lost:' .. ARGV[i + 8])
    end
  end
end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
for i = 11, first - 1, 2 do
  if ARGV[i + 1] == '-1' then
    redis.call('HDEL', KEYS[1], 'lost:' .. ARGV[i])
  else
    redis.call('HSET', KEYS[1], 'lost:' .. ARGV[i], text(now - number(ARGV[i + 1])))
  end
end
if not last then return 'ok' end
redis.call('HSET', KEYS[1], 'last_epoch', last, 'seq', text(seq), 'sub', text(sub), 'entity', text(entity))
local dropped = redis.call('XTRIM', KEYS[2], 'MAXLEN', ARGV[6])
-- The first entry that stays: looked at one by one, or by many where many go.
local length, few, young, old = redis.call('XLEN', KEYS[2]), number(ARGV[7]), number(ARGV[8]), number(ARGV[9])
local from, count, stays, gone = '-', 1, nil, false
while not stays do
  local some = redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', count)
  for _, e in ipairs(some) do
    local age = newest - number(e[2][2])
    if age <= old and (length <= few or age <= young) then
      stays = e[1]
      break
    end
    from, gone, length = '(' .. e[1], true, length - 1
  end
  count = 64
end
if gone then dropped = dropped + redis.call('XTRIM', KEYS[2], 'MINID', stays) end
if dropped > 0 then redis.call('HSET', KEYS[1], 'complete', '0') end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
redis.call('PEXPIRE', KEYS[3], ARGV[4])
return 'ok'
