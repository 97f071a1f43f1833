-- Renews a relay's lease. KEYS: the leases, the era. ARGV: relay, lease (ms), what it is. Answers {era, the
-- replication id that it was set for, how long ago (ms), replication info, leases and how long ago each was renewed (ms) in
-- turns}; leases that have run out are left out.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now + ARGV[2]) .. ' ' .. ARGV[3])
local live = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local space = string.find(all[i + 1], ' ', 1, true)
  local left = tonumber(string.sub(all[i + 1], 1, space - 1)) - now
  if left > 0 then
    live[#live + 1] = string.sub(all[i + 1], space + 1)
    live[#live + 1] = string.format('%.0f', math.max(0, ARGV[2] - left))
  else
    redis.call('HDEL', KEYS[1], all[i])
  end
end
local era = redis.call('HMGET', KEYS[2], 'era', 'replication_id', 'since')
local age = string.format('%.0f', math.max(0, now - (era[3] or 0)))
return {era[1] or '0', era[2] or '', age, redis.call('INFO', 'replication'), live}
