-- Makes an era known, unless a greater one is. KEYS: the era. ARGV: era, replication id.
local known = tonumber(redis.call('HGET', KEYS[1], 'era') or '0')
if tonumber(ARGV[1]) >= known then redis.call('HSET', KEYS[1], 'era', ARGV[1], 'replication_id', ARGV[2]) end
return 'ok'
