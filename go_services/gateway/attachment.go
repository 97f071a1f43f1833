package gateway

import (
	"context"
	"log/slog"
	"sync"
	"time"

	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"google.golang.org/grpc/metadata"
)

// linger is how long an attachment stays after its last member has left: for its last words, and for the next one.
const linger = 2 * time.Second

// maxBatch bounds the inputs in one message; the contract's bound is greater.
const maxBatch = 1024

// maxWaiting bounds the inputs that wait for the stream. Past it the relay is as good as gone.
const maxWaiting = 64 * 1024

// attachment is the gateway's stream for one room, and the members who share it.
type attachment struct {
	roomID string
	relays roomv1.RoomServiceClient
	batch  time.Duration
	log    *slog.Logger
	cancel context.CancelFunc
	ended  func(*attachment)

	mu       sync.Mutex
	links    map[uint32]*client
	lastLink uint32
	waiting  []*roomv1.Input
	urgent   chan struct{} // something other than state waits
	state    chan struct{} // state waits
	idle     *time.Timer
	over     bool

	fan fanOut // of the receiving goroutine alone
}

func newAttachment(roomID string, relays roomv1.RoomServiceClient, g *Gateway) *attachment {
	a := &attachment{
		roomID: roomID, relays: relays, batch: g.cfg.StateBatch, log: g.log, ended: g.attachmentEnded,
		links: map[uint32]*client{}, urgent: make(chan struct{}, 1), state: make(chan struct{}, 1),
	}
	a.fan = newFanOut(g.metrics)
	return a
}

// run opens the stream and serves it until it ends.
func (a *attachment) run(ctx context.Context, gatewayID string, cfg *roomv1.RoomConfig) {
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(ctx, kit.HeaderRoomID, a.roomID))
	defer cancel()
	a.mu.Lock()
	a.cancel = cancel
	over := a.over
	a.mu.Unlock()
	if !over {
		if err := a.serve(ctx, gatewayID, cfg); err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "room stream ended", "room", a.roomID, "error", err.Error())
		}
	}
	a.ended(a)
}

func (a *attachment) serve(ctx context.Context, gatewayID string, cfg *roomv1.RoomConfig) error {
	stream, err := a.relays.Attach(ctx)
	if err != nil {
		return err
	}
	open := &roomv1.AttachRequest_Open{RoomId: a.roomID, GatewayId: gatewayID, Config: cfg}
	if err := stream.Send(&roomv1.AttachRequest{Body: &roomv1.AttachRequest_Open_{Open: open}}); err != nil {
		return recvError(stream, err)
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		a.send(ctx, stream)
	}()
	defer func() {
		a.cancel()
		<-sent
	}()
	for {
		response, err := stream.Recv()
		if err != nil {
			return err
		}
		for _, d := range response.GetDeliveries().GetDeliveries() {
			a.deliver(ctx, d)
		}
	}
}

// recvError is the reason behind a failed send, which Recv tells.
func recvError(stream roomv1.RoomService_AttachClient, sendErr error) error {
	if _, err := stream.Recv(); err != nil {
		return err
	}
	return sendErr
}

// send passes inputs on: state waits a few milliseconds for company, everything else takes along what waits.
func (a *attachment) send(ctx context.Context, stream roomv1.RoomService_AttachClient) {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	inputs := &roomv1.AttachRequest_Inputs{}
	message := &roomv1.AttachRequest{Body: &roomv1.AttachRequest_Inputs_{Inputs: inputs}}
	for {
		select {
		case <-ctx.Done():
			_ = stream.CloseSend()
			return
		case <-a.state:
			timer.Reset(a.batch)
			continue
		case <-timer.C:
		case <-a.urgent:
		}
		for {
			inputs.Inputs = a.takeWaiting(inputs.Inputs)
			if len(inputs.Inputs) == 0 {
				break
			}
			if stream.Send(message) != nil {
				return // Recv tells why
			}
		}
	}
}

func (a *attachment) takeWaiting(reuse []*roomv1.Input) []*roomv1.Input {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(reuse)
	n := min(len(a.waiting), maxBatch)
	taken := append(reuse[:0], a.waiting[:n]...)
	rest := copy(a.waiting, a.waiting[n:])
	clear(a.waiting[rest:])
	a.waiting = a.waiting[:rest]
	return taken
}

// enqueue passes an input on; false if the attachment is over.
func (a *attachment) enqueue(in *roomv1.Input) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.enqueueLocked(in)
}

func (a *attachment) enqueueLocked(in *roomv1.Input) bool {
	if a.over {
		return false
	}
	if len(a.waiting) >= maxWaiting {
		a.overLocked()
		return false
	}
	a.waiting = append(a.waiting, in)
	signal := a.urgent
	if in.GetState() != nil {
		signal = a.state
	}
	select {
	case signal <- struct{}{}:
	default:
	}
	return true
}

// enter gives a client a link and sends its join. False if the attachment is over.
func (a *attachment) enter(c *client, join func(link uint32) *roomv1.Input) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over {
		return false
	}
	if a.idle != nil {
		a.idle.Stop()
		a.idle = nil
	}
	a.lastLink++
	c.setLink(a, a.lastLink)
	a.links[a.lastLink] = c
	return a.enqueueLocked(join(a.lastLink))
}

// unlink takes a client out; the attachment ends if nobody comes for a while.
func (a *attachment) unlink(link uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.unlinkLocked(link)
}

func (a *attachment) unlinkLocked(link uint32) {
	if _, ok := a.links[link]; !ok {
		return
	}
	delete(a.links, link)
	if len(a.links) == 0 && !a.over && a.idle == nil {
		a.idle = time.AfterFunc(linger, func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			if len(a.links) == 0 {
				a.overLocked()
			}
		})
	}
}

func (a *attachment) overLocked() {
	a.over = true
	if a.cancel != nil {
		a.cancel()
	}
}

// finish closes the attachment for good and returns who was still in.
func (a *attachment) finish() []*client {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.overLocked()
	if a.idle != nil {
		a.idle.Stop()
	}
	orphans := make([]*client, 0, len(a.links))
	for _, c := range a.links {
		orphans = append(orphans, c)
	}
	clear(a.links)
	return orphans
}
