-- Claims a room. KEYS: its record, its log, its members.
-- ARGV: relay, incarnation, address, held, era, steal after, keep (ms), keep the log (ms); epochs an era, when the clock
-- that counts them began, how long it takes for one (ms), the greatest; then what an asker knows that holds the room: last
-- entity, last epoch, seq, sub, complete, how many members, entity and member in turns, and seq, sub, time and entry in turns.
-- Answers {2} if there is no greater epoch; else {granted, epoch, relay, incarnation, address, last epoch, seq, sub, last
-- entity, complete, members, entity and for how long it has had no connection (ms) in turns, log}.
local function number(value) return tonumber(value or '0') or 0 end
local function text(n) return string.format('%.0f', n) end
local field = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do field[all[i]] = all[i + 1] end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local lost = {}
for name, since in pairs(field) do
  if string.sub(name, 1, 5) == 'lost:' then
    lost[#lost + 1] = string.sub(name, 6)
    lost[#lost + 1] = text(math.max(0, now - number(since)))
  end
end
local epoch, held, steal = number(field.epoch), number(ARGV[4]), number(ARGV[6])
local owner = field.relay or ''
if #all == 0 then redis.call('DEL', KEYS[2], KEYS[3]) end -- what is left of a record that was forgotten
local free = owner == '' or owner == ARGV[1] or steal ~= 0 and steal == epoch
if held ~= 0 then -- an older claim of the same start of the relay is this one, if nothing was written since: its answer was lost
  local wrote = number(field.seq) ~= number(ARGV[15]) or number(field.sub) ~= number(ARGV[16])
  free = held > epoch or owner == ARGV[1] and field.incarnation == ARGV[2] and (held == epoch or not wrote)
end
if not free then
  return {0, text(epoch), owner, field.incarnation or '', field.address or ''}
end
-- Not before the clock, so that an epoch which the store forgot is not given again.
local per_era, began, length, greatest = number(ARGV[9]), number(ARGV[10]), number(ARGV[11]), number(ARGV[12])
epoch = math.max(epoch, held)
local era = math.max(number(ARGV[5]), math.floor(epoch / per_era))
epoch = math.max(epoch + 1, era * per_era + math.max(0, math.floor((now - began) / length)))
if epoch > greatest then return {2} end
local entity, complete = number(field.entity), field.complete or '1'
local last, seq, sub = field.last_epoch or '0', field.seq or '0', field.sub or '0'
if held ~= 0 then
  entity, last, seq, sub, complete = math.max(entity, number(ARGV[13])), ARGV[14], ARGV[15], ARGV[16], ARGV[17]
  redis.call('DEL', KEYS[2], KEYS[3])
  for i = 1, #lost, 2 do redis.call('HDEL', KEYS[1], 'lost:' .. lost[i]) end
  lost = {}
  local first = 19 + 2 * number(ARGV[18])
  for i = 19, first - 1, 2 do redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1]) end
  for i = first, #ARGV, 4 do
    redis.call('XADD', KEYS[2], ARGV[i] .. '-' .. ARGV[i + 1], 't', ARGV[i + 2], 'e', ARGV[i + 3])
  end
  redis.call('PEXPIRE', KEYS[2], ARGV[8])
end
if redis.call('EXISTS', KEYS[2]) == 0 and number(seq) > 0 then complete = '0' end
redis.call('HSET', KEYS[1], 'epoch', text(epoch), 'relay', ARGV[1], 'incarnation', ARGV[2], 'address', ARGV[3],
  'last_epoch', last, 'seq', seq, 'sub', sub, 'entity', text(entity), 'complete', complete)
redis.call('PEXPIRE', KEYS[1], ARGV[7])
redis.call('PEXPIRE', KEYS[3], ARGV[7])
return {1, text(epoch), ARGV[1], ARGV[2], ARGV[3], last, seq, sub, text(entity), complete,
  redis.call('HVALS', KEYS[3]), lost, redis.call('XRANGE', KEYS[2], '-', '+')}
