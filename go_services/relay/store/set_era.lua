-- Makes an era known, unless a greater one is. KEYS: the era. ARGV: era, replication id, 1 if nobody had a room before.
local known = tonumber(redis.call('HGET', KEYS[1], 'era') or '0')
local clock = redis.call('TIME')
local now = ARGV[3] == '1' and 0 or clock[1] * 1000 + math.floor(clock[2] / 1000)
if tonumber(ARGV[1]) > known then redis.call('HSET', KEYS[1], 'since', string.format('%.0f', now)) end
if tonumber(ARGV[1]) >= known then redis.call('HSET', KEYS[1], 'era', ARGV[1], 'replication_id', ARGV[2]) end
return 'ok'
