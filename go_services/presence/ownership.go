package presence

import (
	"context"
	"sync"
	"time"

	presencev1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/presence/v1"
)

// verifyEvery is how often an instance asks whether the shards that it holds are still its own. Envoy's hash moves them
// when instances come and go, and streams that are open do not move by themselves. It has to be well below the time
// that a shard takes to settle.
const verifyEvery = 2 * time.Second

// verifyTimeout bounds one question; all shards are asked about at once.
const verifyTimeout = time.Second

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
	var asked sync.WaitGroup
	for number, l := range s.shards {
		if l.holding() != nil {
			asked.Go(func() { s.verifyShard(ctx, peers, uint32(number), l) })
		}
	}
	asked.Wait()
}

// verifyShard asks about one shard. That nobody answers for it says nothing of who has it, nor of other shards.
func (s *server) verifyShard(ctx context.Context, peers presencev1.PresenceServiceClient, number uint32, l *liveShard) {
	ctx, cancel := context.WithTimeout(toShard(ctx, number), verifyTimeout)
	defer cancel()
	answer, err := peers.LocateShard(ctx, &presencev1.LocateShardRequest{Shard: number})
	if err == nil && answer.GetIncarnation() != s.incarnation {
		s.log.Info("another instance has taken the shard over", "shard", number)
		l.letGo()
	}
}
