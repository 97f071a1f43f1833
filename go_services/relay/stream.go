package relay

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"

	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
)

// deliveryOverhead is about what a delivery takes in memory beside its frame.
const deliveryOverhead = 96

func sizeOf(d *roomv1.Delivery) int { return len(d.GetFrame()) + deliveryOverhead }

// stream is what waits to be sent to one gateway for one room. Its queue is bounded: a state frame that was not
// taken is replaced, views are of one tick at most, and when everything else passes the bound the stream is ended.
type stream struct {
	id      uint64
	gateway string
	limit   int
	cancel  context.CancelCauseFunc

	mu     sync.Mutex
	queue  []*roomv1.Delivery
	bytes  int
	state  int // index in queue of a state frame that was not taken yet, or -1
	views  int // how many views were not taken yet
	wake   chan struct{}
	moved  *roomv1.AttachResponse_Moved // the last that is sent
	failed error                        // or with what the stream ends
	closed bool
	over   chan struct{} // closed when it is given up; the cause of its context says why

	walks walks // the room's lock guards it
}

func newStream(id uint64, gateway string, limit int, cancel context.CancelCauseFunc) *stream {
	return &stream{
		id: id, gateway: gateway, limit: limit, cancel: cancel, state: -1,
		wake: make(chan struct{}, 1), over: make(chan struct{}),
	}
}

// push queues a delivery that must not be lost.
func (s *stream) push(d *roomv1.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.append(d)
}

// pushState queues a state frame. If the one before was not taken yet, it is replaced by what `whole` makes, for the
// entities that only the older one told of must not be forgotten. It says whether it was replaced. The newer one goes
// to the end of the queue: a MemberJoined or Snapshot in between holds older state, and must not be read after it.
func (s *stream) pushState(d *roomv1.Delivery, whole func() *roomv1.Delivery) (replaced bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if s.state >= 0 {
		s.bytes -= sizeOf(s.queue[s.state])
		s.queue = slices.Delete(s.queue, s.state, s.state+1)
		d, replaced = whole(), true
	}
	s.state = len(s.queue)
	s.append(d)
	return replaced
}

// pushView queues what some members see of a room that is a grid. It does not count for the bound: the room shows no more
// until it was taken.
func (s *stream) pushView(d *roomv1.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.queue = append(s.queue, d)
	s.views++
	s.wakeUp()
}

// hasViews says whether there are views that were not taken.
func (s *stream) hasViews() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.views > 0
}

func (s *stream) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *stream) append(d *roomv1.Delivery) {
	if s.closed {
		return
	}
	s.queue = append(s.queue, d)
	s.bytes += sizeOf(d)
	if s.bytes > s.limit {
		s.giveUp(errSlowGateway)
		return
	}
	s.wakeUp()
}

// supersede ends the stream at once: the gateway has another.
func (s *stream) supersede() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.giveUp(errSuperseded)
	}
}

func (s *stream) giveUp(why error) {
	s.closed = true
	s.cancel(why)
	close(s.over)
}

// move ends the stream after what waits: the room is elsewhere.
func (s *stream) move(moved *roomv1.AttachResponse_Moved) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.moved, s.closed = moved, true
	s.wakeUp()
}

// fail ends the stream after what waits, with an error.
func (s *stream) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.failed, s.closed = err, true
	s.wakeUp()
}

// take waits for deliveries and takes all that there are; none when the room has moved. The slice given is used again. Of a
// gateway that is done (io.EOF) it takes what waits first: nothing comes after that.
func (s *stream) take(ctx context.Context, reuse []*roomv1.Delivery) ([]*roomv1.Delivery, error) {
	for done := false; ; {
		s.mu.Lock()
		if len(s.queue) > 0 {
			taken := s.queue
			clear(reuse)
			s.queue, s.bytes, s.state, s.views = reuse[:0], 0, -1, 0
			s.mu.Unlock()
			return taken, nil
		}
		moved, failed := s.moved, s.failed
		s.mu.Unlock()
		switch {
		case failed != nil:
			return nil, failed
		case moved != nil:
			return nil, nil
		case done:
			return nil, io.EOF
		}
		select {
		case <-ctx.Done():
			if done = errors.Is(context.Cause(ctx), io.EOF); !done {
				return nil, context.Cause(ctx)
			}
		case <-s.wake:
		}
	}
}
