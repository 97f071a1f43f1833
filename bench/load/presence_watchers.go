package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	presencev1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/presence/v1"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/metadata"
)

func asPresence(ctx context.Context, shard uint32) context.Context {
	return metadata.AppendToOutgoingContext(ctx,
		"x-worldmesh-caller", "presence", "x-presence-shard", strconv.Itoa(int(shard)))
}

// watch opens a watch of a shard's users and hands over what comes, until ctx ends. It returns when the first has come.
func watch(
	ctx context.Context, client presencev1.PresenceServiceClient, shard uint32, users []string, running *sync.WaitGroup,
	heard func([]*presencev1.UserPresence),
) error {
	stream, err := client.WatchShardPresence(asPresence(ctx, shard), &presencev1.WatchShardPresenceRequest{
		Shard: shard, UserIds: users,
	})
	if err != nil {
		return err
	}
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	heard(first.GetPresences())
	running.Go(func() {
		for {
			response, err := stream.Recv()
			if err != nil {
				return // the test is over, or the shard is lost
			}
			heard(response.GetPresences())
		}
	})
	return nil
}

// watchMany opens 10,000 watches, of 20 users each out of 10,000, and counts what they hear.
func watchMany(
	ctx context.Context, clients []presencev1.PresenceServiceClient, heard *atomic.Int64, running *sync.WaitGroup,
) error {
	watched := make([][]string, presenceShards)
	for user := range watchedUsers {
		id := userID(user * (crowdUsers / watchedUsers))
		watched[shardOf(id)] = append(watched[shardOf(id)], id)
	}
	var group errgroup.Group
	group.SetLimit(64)
	for i := range watchers {
		group.Go(func() error {
			random, users := rand.New(rand.NewPCG(uint64(i), 1)), watched[i%presenceShards]
			var ids []string
			for _, at := range random.Perm(len(users))[:watchedEach] {
				ids = append(ids, users[at])
			}
			return watch(ctx, clients[i%len(clients)], uint32(i%presenceShards), ids, running,
				func(presences []*presencev1.UserPresence) { heard.Add(int64(len(presences))) })
		})
	}
	return group.Wait()
}

// ended is when users of a gateway were seen to go offline.
type ended struct {
	mu          sync.Mutex
	online      map[string]bool
	offline     map[string]int
	first, last time.Time
}

func (e *ended) heard(presences []*presencev1.UserPresence) {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range presences {
		switch {
		case p.GetOnline():
			e.online[p.GetUserId()] = true
		case e.online[p.GetUserId()]:
			e.offline[p.GetUserId()]++
			if e.first.IsZero() {
				e.first = now
			}
			e.last = now
		}
	}
}

func (e *ended) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.offline)
}

// watchEnd watches users of a gateway, as many as one watch may have in each shard, who are on no other.
func watchEnd(
	ctx context.Context, client presencev1.PresenceServiceClient, gateway []*portion, running *sync.WaitGroup,
) (e *ended, users int, err error) {
	e = &ended{online: map[string]bool{}, offline: map[string]int{}}
	for _, p := range gateway {
		var ids []string
		for _, at := range rand.New(rand.NewPCG(1, 1)).Perm(len(p.sessions)) {
			if user := userOf(p.sessions[at]); user%10 != 0 && len(ids) < 200 {
				ids = append(ids, userID(user))
			}
		}
		users += len(ids)
		if err := watch(ctx, client, p.shard, ids, running, e.heard); err != nil {
			return nil, 0, err
		}
	}
	if len(e.online) != users {
		return nil, 0, fmt.Errorf("%d of %d are online", len(e.online), users)
	}
	return e, users, nil
}

// ask asks for users, one call after the other, until ctx ends; it returns the longest that it waited.
func ask(ctx context.Context, client presencev1.PresenceServiceClient, of []*portion) (longest time.Duration, err error) {
	for i := 0; ctx.Err() == nil; i++ {
		p := of[i%len(of)]
		user := userID(userOf(p.sessions[i%len(p.sessions)]))
		callCtx, cancel := context.WithTimeout(asPresence(context.Background(), p.shard), 5*time.Second)
		start := time.Now()
		response, err := client.GetShardPresence(callCtx, &presencev1.GetShardPresenceRequest{
			Shard: p.shard, UserIds: []string{user},
		})
		longest = max(longest, time.Since(start))
		cancel()
		if err != nil {
			return 0, err
		}
		if got := response.GetPresences()[0]; !got.GetOnline() {
			return 0, fmt.Errorf("%s is not online: %v", user, got)
		}
	}
	return longest, nil
}
