package gateway

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
	"github.com/worldmesh/worldmesh/go_services/gateway/roomlink"
)

// maxBatch bounds the inputs in one message; the contract's bound is greater.
const maxBatch = 1024

// inputQueue is what members did and the relay has not been told. State waits for company, as its pace has it;
// everything else goes at once, and takes along what waits.
type inputQueue struct {
	pace    *pace
	sent    prometheus.Counter
	dropped prometheus.Counter // steps
	wake    chan struct{}      // something waits that did not before, or is more urgent

	mu     sync.Mutex
	queue  roomlink.Queue
	urgent bool
	closed bool
}

func newInputQueue(p *pace, m *metrics) *inputQueue {
	return &inputQueue{pace: p, sent: m.batches, dropped: m.stepDrops, wake: make(chan struct{}, 1)}
}

// put adds an input; false if the room is over, or too much waits.
func (q *inputQueue) put(in *roomv1.Input) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.putLocked(in)
}

// exit adds the input by which a member goes.
func (q *inputQueue) exit(m *roomlink.Member, in *roomv1.Input) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.queue.Exit(m, in)
		q.hasPut(in)
	}
}

// step adds a member's step, and keeps it, for it may be lost with the relay.
func (q *inputQueue) step(m *roomlink.Member, move dialect.Move) {
	q.mu.Lock()
	defer q.mu.Unlock()
	m.Stepped(move)
	if q.closed {
		return
	}
	if dropped := q.queue.Step(roomlink.Step{Link: m.Link, Move: move}); dropped > 0 {
		q.dropped.Add(float64(dropped))
	}
	if q.queue.Len() == 1 {
		q.wakeUp()
	}
}

// askedStep adds a step whose client wants an answer: an input of its own, which is repeated until it is answered.
func (q *inputQueue) askedStep(m *roomlink.Member, move dialect.Move, rid uint32, number uint64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.putLocked(roomlink.StepInput(roomlink.Step{Link: m.Link, Move: move}, rid, number)) {
		return false
	}
	m.Stepped(move)
	return true
}

func (q *inputQueue) putLocked(in *roomv1.Input) bool {
	if q.closed || !q.queue.Put(in) {
		return false
	}
	q.hasPut(in)
	return true
}

// hasPut wakes who sends, for an input that is the first, or should not wait.
func (q *inputQueue) hasPut(in *roomv1.Input) {
	urgent := in.GetState() == nil
	if q.queue.Len() == 1 || urgent && !q.urgent {
		q.wakeUp()
	}
	q.urgent = q.urgent || urgent
}

func (q *inputQueue) wakeUp() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// answered takes note that an input needs not be repeated.
func (q *inputQueue) answered(number uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queue.Answered(number)
}

// putOut takes note that a member is out.
func (q *inputQueue) putOut(link uint32) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queue.PutOut(link)
}

// reopen has all be sent on the next stream that was not answered, and the newest steps.
func (q *inputQueue) reopen(steps func() []roomlink.Step) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queue.Reopen(steps())
	q.urgent = true
	q.wakeUp()
}

func (q *inputQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed, q.queue = true, roomlink.Queue{}
}

// take moves what goes into one message into one that is used again; false if there is nothing.
func (q *inputQueue) take(into *roomv1.AttachRequest_Inputs) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queue.Take(into, maxBatch)
	if q.queue.Len() == 0 {
		q.urgent = false
		select {
		case <-q.wake: // it was for what has gone: what comes next would not wait for company
		default:
		}
	}
	return len(into.GetInputs()) > 0 || into.GetSteps() != nil
}

func (q *inputQueue) isUrgent() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.urgent
}

// sendTo sends what is put until ctx or the stream ends. What a stream that breaks has taken and not answered is repeated
// on the next.
func (q *inputQueue) sendTo(ctx context.Context, stream roomv1.RoomService_AttachClient) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	inputs := &roomv1.AttachRequest_Inputs{}
	message := &roomv1.AttachRequest{Body: &roomv1.AttachRequest_Inputs_{Inputs: inputs}}
	for q.await(ctx, timer) {
		for q.take(inputs) {
			if stream.Send(message) != nil {
				return // Recv tells why
			}
			q.sent.Inc()
		}
	}
}

// await waits until something is to be sent; false when ctx has ended.
func (q *inputQueue) await(ctx context.Context, timer *time.Timer) bool {
	select {
	case <-ctx.Done():
		return false
	case <-q.wake:
	}
	if q.isUrgent() {
		return true
	}
	timer.Reset(q.pace.wait(time.Now()))
	select {
	case <-ctx.Done():
		return false
	case <-q.wake:
	case <-timer.C:
	}
	return true
}
