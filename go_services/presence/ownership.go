package presence

import (
	"context"
	"time"

	presencev1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/presence/v1"
)

// verifyEvery is how often an instance asks whether the shards that it holds are still its own. Envoy's hash moves them
// when instances come and go, and streams that are open do not move by themselves. It has to be well below the time
// that a shard takes to settle.
const verifyEvery = 2 * time.Second

// LocateShard says that the shard's calls reach this instance.
func (s *server) LocateShard(context.Context, *presencev1.LocateShardRequest) (*presencev1.LocateShardResponse, error) {
	return &presencev1.LocateShardResponse{Incarnation: s.incarnation}, nil
}

// verify lets go the shards whose calls reach another instance.
func (s *server) verify(ctx context.Context) error {
	ticker := time.NewTicker(verifyEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			s.verifyOnce(ctx, s.peers)
		}
	}
}

func (s *server) verifyOnce(ctx context.Context, peers presencev1.PresenceServiceClient) {
	for number, l := range s.shards {
		if l.holding() == nil {
			continue
		}
		request := &presencev1.LocateShardRequest{Shard: uint32(number)}
		answer, err := peers.LocateShard(toShard(ctx, request.GetShard()), request)
		if err != nil {
			return // nobody can be reached right now: that says nothing of who has the shard
		}
		if answer.GetIncarnation() != s.incarnation {
			s.log.Info("another instance has taken the shard over", "shard", number)
			l.letGo()
		}
	}
}
