package gateway

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff waits longer each time, with jitter.
type backoff struct {
	least, most, next time.Duration
}

func (b *backoff) reset() { b.next = 0 }

func (b *backoff) sleep(ctx context.Context) {
	b.next = min(max(b.next*2, b.least), b.most)
	sleep(ctx, b.next/2+rand.N(b.next/2))
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
