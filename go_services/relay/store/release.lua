-- Gives a room up. KEYS: its record. ARGV: epoch, relay, incarnation, seq and sub of the newest entry. Answers 'ok',
-- 'fenced' or 'forgotten'.
local function number(value) return tonumber(value or '0') or 0 end
local record = redis.call('HMGET', KEYS[1], 'epoch', 'relay', 'incarnation', 'seq', 'sub')
local epoch, mine, owner = number(record[1]), number(ARGV[1]), record[2] or ''
if epoch < mine then return 'forgotten' end
if epoch > mine or owner == '' then return 'fenced' end
if owner ~= ARGV[2] or record[3] ~= ARGV[3] then return 'forgotten' end
if number(record[4]) ~= number(ARGV[4]) or number(record[5]) ~= number(ARGV[5]) then return 'forgotten' end
redis.call('HSET', KEYS[1], 'relay', '', 'incarnation', '', 'address', '')
return 'ok'
