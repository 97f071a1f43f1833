-- Claims a room. KEYS: its record, its log, its members.
-- ARGV: relay, incarnation, address, held, era's first epoch - 1, steal after, keep (ms), last entity, then entity and
-- member in turns. Answers {granted, epoch, relay, incarnation, address, last epoch, seq, sub, last entity, complete,
-- members, log}.
local function number(value) return tonumber(value or '0') or 0 end
local function text(n) return string.format('%.0f', n) end
local field = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do field[all[i]] = all[i + 1] end
local epoch, held, steal = number(field.epoch), number(ARGV[4]), number(ARGV[6])
local owner = field.relay or ''
local free = owner == '' or owner == ARGV[1]
if not free and (held == 0 or held < epoch) and (steal == 0 or steal ~= epoch) then
  return {0, text(epoch), owner, field.incarnation or '', field.address or ''}
end
epoch = math.max(epoch, held, number(ARGV[5])) + 1
local entity = number(field.entity)
if held ~= 0 then
  entity = math.max(entity, number(ARGV[8]))
  redis.call('DEL', KEYS[3])
  for i = 9, #ARGV, 2 do redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1]) end
end
local complete = field.complete or '1'
redis.call('HSET', KEYS[1], 'epoch', text(epoch), 'relay', ARGV[1], 'incarnation', ARGV[2], 'address', ARGV[3],
  'entity', text(entity), 'complete', complete)
redis.call('PEXPIRE', KEYS[1], ARGV[7])
redis.call('PEXPIRE', KEYS[3], ARGV[7])
if redis.call('EXISTS', KEYS[2]) == 0 and number(field.seq) > 0 then complete = '0' end
return {1, text(epoch), ARGV[1], ARGV[2], ARGV[3], field.last_epoch or '0', field.seq or '0', field.sub or '0',
  text(entity), complete, redis.call('HVALS', KEYS[3]), redis.call('XRANGE', KEYS[2], '-', '+')}
