package presence

import (
	"context"
	"math/rand/v2"
	"strconv"
	"time"

	presencev1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/presence/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"github.com/worldmesh/worldmesh/go_services/internal/shardkey"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/metadata"
)

// reopenAfter is about how long a watch waits before it opens a shard's stream again.
const reopenAfter = 200 * time.Millisecond

// BatchGetPresence asks the shards that know the users, all at once.
func (s *server) BatchGetPresence(
	ctx context.Context, request *presencev1.BatchGetPresenceRequest,
) (*presencev1.BatchGetPresenceResponse, error) {
	shards := byShard(request.GetUserIds())
	answers := make([][]*presencev1.UserPresence, len(shards))
	group, groupCtx := errgroup.WithContext(ctx)
	for i, part := range shards {
		group.Go(func() (err error) {
			answers[i], err = s.ask(groupCtx, part)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	known := make(map[string]*presencev1.UserPresence, len(request.GetUserIds()))
	for _, answer := range answers {
		for _, p := range answer {
			known[p.GetUserId()] = p
		}
	}
	response := &presencev1.BatchGetPresenceResponse{}
	for _, id := range request.GetUserIds() {
		response.Presences = append(response.Presences, known[id])
	}
	newView(kit.CallerOf(ctx)).all(response.GetPresences())
	return response, nil
}

// ask asks a shard; one that this instance holds needs no call.
func (s *server) ask(ctx context.Context, part shardPart) ([]*presencev1.UserPresence, error) {
	if held := s.shards[part.shard].holding(); held != nil {
		return held.get(part.userIDs), nil
	}
	response, err := s.peers.GetShardPresence(toShard(ctx, part.shard), &presencev1.GetShardPresenceRequest{
		Shard: part.shard, UserIds: part.userIDs,
	})
	return response.GetPresences(), err
}

// WatchPresence joins the watches of the shards that know the users. A shard's stream that breaks is opened again,
// and begins with the newest of all its users.
func (s *server) WatchPresence(
	request *presencev1.WatchPresenceRequest, rpc presencev1.PresenceService_WatchPresenceServer,
) error {
	caller := kit.CallerOf(rpc.Context())
	end, err := s.watches.begin(caller.User.ID)
	if err != nil {
		return err
	}
	defer end()
	ctx, cancel := context.WithCancel(rpc.Context())
	defer cancel()
	sees, changes := newView(caller), make(chan []*presencev1.UserPresence)
	group, ctx := errgroup.WithContext(ctx)
	for _, part := range byShard(request.GetUserIds()) {
		group.Go(func() error { return s.follow(ctx, part, changes) })
	}
	group.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-s.draining.Done():
				return errDraining
			case presences := <-changes:
				news := sees.news(presences)
				if len(news) == 0 {
					continue
				}
				if err := rpc.Send(&presencev1.WatchPresenceResponse{Presences: news}); err != nil {
					return err
				}
			}
		}
	})
	return group.Wait()
}

func (s *server) follow(ctx context.Context, part shardPart, changes chan<- []*presencev1.UserPresence) error {
	for ctx.Err() == nil {
		s.followOnce(ctx, part, changes)
		select {
		case <-ctx.Done():
		case <-time.After(reopenAfter/2 + rand.N(reopenAfter)):
		}
	}
	return nil
}

func (s *server) followOnce(ctx context.Context, part shardPart, changes chan<- []*presencev1.UserPresence) {
	if held := s.shards[part.shard].holding(); held != nil {
		_ = s.tell(ctx, held, part.userIDs, func(news []*presencev1.UserPresence) error { // it ends with the holding
			select {
			case <-ctx.Done():
				return ctx.Err()
			case changes <- news:
				return nil
			}
		})
		return
	}
	stream, err := s.peers.WatchShardPresence(toShard(ctx, part.shard), &presencev1.WatchShardPresenceRequest{
		Shard: part.shard, UserIds: part.userIDs,
	})
	if err != nil {
		return
	}
	for {
		response, err := stream.Recv()
		if err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case changes <- response.GetPresences():
		}
	}
}

// shardPart is the users of one shard.
type shardPart struct {
	shard   uint32
	userIDs []string
}

func byShard(userIDs []string) []shardPart {
	var parts [shardkey.Count][]string
	for _, id := range userIDs {
		n := shardkey.Of(id)
		parts[n] = append(parts[n], id)
	}
	var used []shardPart
	for n, ids := range parts {
		if len(ids) > 0 {
			used = append(used, shardPart{shard: uint32(n), userIDs: ids})
		}
	}
	return used
}

func toShard(ctx context.Context, number uint32) context.Context {
	return metadata.AppendToOutgoingContext(ctx, kit.HeaderPresenceShard, strconv.Itoa(int(number)))
}
