// Package shardkey says which presence shard a user belongs to.
package shardkey

import "hash/fnv"

// Count is the number of presence shards. It is part of the contract: changing it moves every user.
const Count = 16

// Of is the shard of a user: fnv1a32(user id) mod Count.
func Of(userID string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(userID))
	return h.Sum32() % Count
}
