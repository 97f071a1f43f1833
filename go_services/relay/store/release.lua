-- Gives a room up. KEYS: its record. ARGV: epoch, relay, incarnation.
local record = redis.call('HMGET', KEYS[1], 'epoch', 'relay', 'incarnation')
if record[1] == ARGV[1] and record[2] == ARGV[2] and record[3] == ARGV[3] then
  redis.call('HSET', KEYS[1], 'relay', '', 'incarnation', '', 'address', '')
end
return 'ok'
