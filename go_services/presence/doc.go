// Package presence serves who is online, where, on which devices. The behaviour of a shard is in package shard; here
// are the streams of gateways, the watches, and the way from a question about many users to the shards that know them.
package presence
