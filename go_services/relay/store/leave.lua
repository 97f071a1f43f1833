-- Gives a relay's lease up, if it is still the same start of the relay that has it. KEYS: the leases. ARGV: relay,
-- incarnation.
local lease = redis.call('HGET', KEYS[1], ARGV[1])
if lease and cjson.decode(string.sub(lease, string.find(lease, ' ', 1, true) + 1)).Incarnation == ARGV[2] then
  redis.call('HDEL', KEYS[1], ARGV[1])
end
return 'ok'
