package relay

import (
	"context"
	"sync"

	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
)

// deliveryOverhead is about what a delivery takes in memory beside its frame.
const deliveryOverhead = 96

// stream is what waits to be sent to one gateway for one room. Its queue is bounded: a state frame that was not
// taken is replaced, and when everything else passes the bound the stream is ended.
type stream struct {
	id      uint64
	gateway string
	limit   int
	cancel  context.CancelCauseFunc

	mu     sync.Mutex
	queue  []*roomv1.Delivery
	bytes  int
	state  int // index in queue of a state frame that was not taken yet, or -1
	wake   chan struct{}
	closed bool
}

func newStream(id uint64, gateway string, limit int, cancel context.CancelCauseFunc) *stream {
	return &stream{id: id, gateway: gateway, limit: limit, cancel: cancel, state: -1, wake: make(chan struct{}, 1)}
}

// push queues a delivery that must not be lost.
func (s *stream) push(d *roomv1.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.append(d)
}

// pushState queues a state frame. If the one before was not taken yet, it is replaced by what `full` makes, for the
// entities that only the older one told of must not be forgotten. It says whether it was replaced.
func (s *stream) pushState(d *roomv1.Delivery, full func() *roomv1.Delivery) (replaced bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state < 0 {
		s.state = len(s.queue)
		s.append(d)
		return false
	}
	whole := full()
	s.bytes += len(whole.GetFrame()) - len(s.queue[s.state].GetFrame())
	s.queue[s.state] = whole
	return true
}

func (s *stream) append(d *roomv1.Delivery) {
	if s.closed {
		return
	}
	s.queue = append(s.queue, d)
	s.bytes += len(d.GetFrame()) + deliveryOverhead
	if s.bytes > s.limit {
		s.closed = true
		s.cancel(errSlowGateway)
		return
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// take waits for deliveries and takes all that there are. The slice given is used again.
func (s *stream) take(ctx context.Context, reuse []*roomv1.Delivery) ([]*roomv1.Delivery, error) {
	for {
		s.mu.Lock()
		if len(s.queue) > 0 {
			taken := s.queue
			clear(reuse)
			s.queue, s.bytes, s.state = reuse[:0], 0, -1
			s.mu.Unlock()
			return taken, nil
		}
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-s.wake:
		}
	}
}
