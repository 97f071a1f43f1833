package gateway

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/worldmesh/worldmesh/go_services/internal/kit"
)

// backoff waits longer each time, with jitter.
type backoff struct {
	least, most, next time.Duration
}

func (b *backoff) reset() { b.next = 0 }

func (b *backoff) sleep(ctx context.Context) {
	b.next = min(max(b.next*2, b.least), b.most)
	_ = kit.Sleep(ctx, b.next/2+rand.N(b.next/2))
}
