package gateway

import (
	"context"
	"log/slog"
	"sync"
	"time"

	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/socket"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"google.golang.org/grpc/metadata"
)

// attachment is the gateway's stream for one room, and the members who share it.
type attachment struct {
	roomID string
	config *roomv1.RoomConfig
	relays roomv1.RoomServiceClient
	log    *slog.Logger
	linger time.Duration
	ended  func(*attachment)
	inputs *inputQueue
	pace   *pace

	mu       sync.Mutex
	cancel   context.CancelFunc
	links    map[uint32]*member
	inside   []*member // those who receive what the room says to all, in no order
	lastLink uint32
	idle     *time.Timer
	over     bool

	fan fanOut
}

// member is a client that has sent its join on this stream.
type member struct {
	client *client
	socket *socket.Socket // the client's: to write to it need not look at anything else
	link   uint32
	index  int  // in inside, or -1 while it is on its way in
	missed bool // has missed state, for it reads slowly
}

func newAttachment(roomID string, cfg *roomv1.RoomConfig, g *Gateway) *attachment {
	p := newPace(g.cfg.StateBatch, time.Second/time.Duration(max(cfg.GetTickHz(), 1)))
	return &attachment{
		roomID: roomID, config: cfg, relays: g.relays, log: g.log, linger: g.linger, ended: g.attachmentEnded,
		inputs: newInputQueue(p, g.metrics.batches), pace: p, links: map[uint32]*member{}, fan: newFanOut(g.metrics),
	}
}

// run opens the stream and serves it until it ends.
func (a *attachment) run(ctx context.Context, gatewayID string) {
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(ctx, kit.HeaderRoomID, a.roomID))
	defer cancel()
	a.mu.Lock()
	a.cancel = cancel
	over := a.over
	a.mu.Unlock()
	if !over {
		if err := a.serve(ctx, gatewayID); err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "room stream ended", "room", a.roomID, "error", err.Error())
		}
	}
	a.ended(a)
}

func (a *attachment) serve(ctx context.Context, gatewayID string) error {
	stream, err := a.relays.Attach(ctx)
	if err != nil {
		return err
	}
	open := &roomv1.AttachRequest_Open{RoomId: a.roomID, GatewayId: gatewayID, Config: a.config}
	if err := stream.Send(&roomv1.AttachRequest{Body: &roomv1.AttachRequest_Open_{Open: open}}); err != nil {
		return recvError(stream, err)
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		a.inputs.sendTo(ctx, stream)
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
	a.links[a.lastLink] = &member{client: c, socket: c.socket, link: a.lastLink, index: -1}
	c.place.Store(&place{a, a.lastLink})
	if !a.inputs.put(join(a.lastLink)) {
		delete(a.links, a.lastLink)
		c.place.Store(nil)
		return false
	}
	return true
}

// unlink takes a client out; the attachment ends if nobody comes for a while.
func (a *attachment) unlink(link uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.unlinkLocked(link)
}

func (a *attachment) unlinkLocked(link uint32) {
	m := a.links[link]
	if m == nil {
		return
	}
	delete(a.links, link)
	if m.index >= 0 {
		last := a.inside[len(a.inside)-1]
		a.inside[m.index], last.index = last, m.index
		a.inside[len(a.inside)-1] = nil
		a.inside = a.inside[:len(a.inside)-1]
	}
	if len(a.links) == 0 && !a.over && a.idle == nil {
		a.idle = time.AfterFunc(a.linger, a.endIfEmpty)
	}
}

func (a *attachment) endIfEmpty() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.links) == 0 {
		a.overLocked()
	}
}

func (a *attachment) overLocked() {
	a.over = true
	a.inputs.close()
	if a.cancel != nil {
		a.cancel()
	}
}

// finish closes the attachment for good and returns who was still in.
func (a *attachment) finish() []*member {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.overLocked()
	if a.idle != nil {
		a.idle.Stop()
	}
	orphans := make([]*member, 0, len(a.links))
	for _, m := range a.links {
		orphans = append(orphans, m)
	}
	clear(a.links)
	a.inside = nil
	return orphans
}
