package relay

import (
	"context"
	"errors"
	"io"
	"testing"

	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
)

// Often, for what is tried is that it is pushed while take goes to sleep.
func TestAGatewayThatIsDoneHearsWhatWaits(t *testing.T) {
	for range 100_000 {
		ctx, cancel := context.WithCancelCause(t.Context())
		s := newStream(1, "gateway-0", 1<<20, cancel)
		go func() {
			s.push(&roomv1.Delivery{})
			cancel(io.EOF)
		}()
		heard := 0
		for {
			taken, err := s.take(ctx, nil)
			if heard += len(taken); err == nil {
				continue
			}
			if heard != 1 || !errors.Is(err, io.EOF) {
				t.Fatalf("%d heard, and then %v", heard, err)
			}
			break
		}
	}
}
