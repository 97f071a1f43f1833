package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/roomlink"
	"github.com/worldmesh/worldmesh/go_services/gateway/socket"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// openTime is how long a relay may take to say that it has the room.
const openTime = 2 * time.Second

// steadyTime is how long a stream must have lived for the next one to be opened without a pause.
const steadyTime = 3 * time.Second

var (
	errStale  = errors.New("the relay does not know yet that it has lost the room")
	errNoOpen = errors.New("the relay did not open the room in time")
)

// attachment is a room as this gateway's members are in it: the stream to the relay that has it, one after another, and
// the members who share it.
type attachment struct {
	roomID    string
	gatewayID string
	config    *roomv1.RoomConfig
	relays    roomv1.RoomServiceClient
	watch     *relayWatch
	outage    *outage[*attachment]
	metrics   *metrics
	log       *slog.Logger
	linger    time.Duration
	giveUp    time.Duration
	ended     func(*attachment)
	inputs    *inputQueue
	pace      *pace

	mu      sync.Mutex
	cancel  context.CancelFunc // of the attachment
	members *roomlink.Members
	links   map[uint32]*member
	inside  []*member   // those who receive what the room says to all, in no order
	idle    *time.Timer // ends the attachment, if nobody comes
	soon    *time.Timer // writes what is held
	news    time.Time   // when it was to write, or will
	over    bool

	fan fanOut
}

// member is a client that has sent its join to the room.
type member struct {
	*roomlink.Member
	client *client
	socket *socket.Socket // the client's: to write to it need not look at anything else
	place  *place
	index  int  // in inside, or -1 while it is on its way in
	from   int  // the first of the held frames that is for it
	missed bool // has missed state, for it reads slowly
	// unread says that it has not had all of the room's roster, but up to the entity `after`; asks, that it is to ask for
	// the next part when its socket has taken what it has.
	unread, asks bool
	after        uint32
}

func newAttachment(roomID string, cfg *roomv1.RoomConfig, g *Gateway) *attachment {
	p := newPace(g.cfg.StateBatch, time.Second/time.Duration(max(cfg.GetTickHz(), 1)))
	return &attachment{
		roomID: roomID, gatewayID: g.cfg.Instance, config: cfg, relays: g.relays, watch: g.watch, metrics: g.metrics, log: g.log,
		outage: g.outage, linger: g.linger, giveUp: g.giveUp, ended: g.attachmentEnded, inputs: newInputQueue(p, g.metrics), pace: p,
		members: roomlink.NewMembers(), links: map[uint32]*member{}, fan: newFanOut(g.metrics),
	}
}

// String is what logs call it.
func (a *attachment) String() string { return a.roomID }

// run keeps a stream to the relay that has the room, until nobody is in it or no relay has it for too long.
func (a *attachment) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer a.ended(a)
	defer a.contain()
	defer a.outage.forget(a)
	a.mu.Lock()
	a.cancel = cancel
	a.mu.Unlock()
	wait := backoff{least: 10 * time.Millisecond, most: 500 * time.Millisecond}
	host, healthy := "", time.Now()
	for !a.isOver() && ctx.Err() == nil {
		end := a.serve(ctx, host)
		if ctx.Err() != nil || a.isOver() {
			return
		}
		if end.opened {
			lasted := time.Since(end.began)
			if !end.defective() || lasted > steadyTime {
				healthy = time.Now()
			}
			a.metrics.reattachments.WithLabelValues(end.why()).Inc()
			if lasted > steadyTime {
				wait.reset()
			}
		}
		if !end.movedTo(host) {
			a.outage.lost(a, end.err)
			if end.final() || time.Since(healthy) > a.giveUp {
				a.outage.givenUp(a, end.err)
				return
			}
			wait.sleep(ctx)
		}
		host = end.host
	}
}

// contain gives the room up at this gateway if what has to do with it panics. Its members are told, and may join again; other
// rooms notice nothing. The attachment's lock is not held.
func (a *attachment) contain() {
	p := recover()
	if p == nil {
		return
	}
	a.log.Error("the gateway panicked at a room", "room", a.roomID, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	a.metrics.panics.WithLabelValues(panickedRoom).Inc()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fan.all = outgoing{} // it may be what is held, which is not to be tried again
	a.inside = nil
	a.overLocked()
}

// streamEnd is how a stream ended.
type streamEnd struct {
	opened bool      // the relay had the room
	began  time.Time // when it said so
	moved  bool      // and said that it is elsewhere
	host   string    // where, if that is known
	err    error
}

// movedTo says whether there is another place to go to at once.
func (e streamEnd) movedTo(from string) bool {
	return e.moved && (e.opened || e.host != "" && e.host != from)
}

// final says whether no other relay would answer otherwise.
func (e streamEnd) final() bool {
	switch kit.StatusOf(e.err).Code() {
	case codes.InvalidArgument, codes.PermissionDenied, codes.Unauthenticated, codes.Unimplemented, codes.NotFound:
		return e.err != nil
	default:
		return false
	}
}

// defective says whether something is wrong with us, or what comes by the stream is more than fits. If that ends one stream after
// another as soon as they open, it is what is repeated on each.
func (e streamEnd) defective() bool {
	if e.err == nil {
		return false
	}
	code := kit.StatusOf(e.err).Code()
	return code == codes.Internal || code == codes.ResourceExhausted
}

func (e streamEnd) why() string {
	if e.moved {
		return endMoved
	}
	return endLost
}

// Why streams of rooms end, in the metrics.
const (
	endMoved = "moved"
	endLost  = "lost"
)

// serve opens a stream, says who is in, and serves it until it ends.
func (a *attachment) serve(parent context.Context, host string) (end streamEnd) {
	ctx, cancel := context.WithCancelCause(metadata.AppendToOutgoingContext(parent, kit.HeaderRoomID, a.roomID))
	defer cancel(nil)
	if host != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, kit.HeaderHost, host)
	}
	late := time.AfterFunc(openTime, func() { cancel(errNoOpen) })
	defer late.Stop()
	stream, err := a.relays.Attach(ctx)
	if err != nil {
		return streamEnd{err: err}
	}
	open := a.open()
	if err := stream.Send(&roomv1.AttachRequest{Body: &roomv1.AttachRequest_Open_{Open: open}}); err != nil {
		return streamEnd{err: recvError(stream, err)}
	}
	first, err := stream.Recv()
	if !late.Stop() {
		return streamEnd{err: errNoOpen}
	}
	switch {
	case err != nil:
		return streamEnd{err: err}
	case first.GetMoved() != nil:
		return a.movedAway(first.GetMoved(), false)
	case !a.opened(first.GetOpened().GetEpoch()):
		a.metrics.staleEpochs.Inc()
		return streamEnd{err: errStale}
	}
	began := time.Now()
	defer func() { end.began = began }()
	a.pace.forget()
	steady := time.AfterFunc(steadyTime, func() { a.outage.back(a, began) })
	defer steady.Stop()
	defer a.watch.add(a.roomID, first.GetOpened(), cancel)()
	return a.follow(ctx, cancel, stream)
}

// follow passes inputs and deliveries on until the stream ends.
func (a *attachment) follow(
	ctx context.Context, cancel context.CancelCauseFunc, stream roomv1.RoomService_AttachClient,
) streamEnd {
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		defer a.contain()
		a.inputs.sendTo(ctx, stream)
	}()
	defer func() {
		cancel(nil)
		<-sent
	}()
	for {
		response, err := stream.Recv()
		if err != nil {
			var stuck stuckError
			if errors.As(context.Cause(ctx), &stuck) { // the proxy may not know yet
				return streamEnd{opened: true, host: stuck.elsewhere, err: stuck}
			}
			return streamEnd{opened: true, err: err}
		}
		if moved := response.GetMoved(); moved != nil {
			return a.movedAway(moved, true)
		}
		for _, d := range response.GetDeliveries().GetDeliveries() {
			a.deliver(ctx, d)
		}
	}
}

// open says what this gateway knows of the room, and has all be repeated that was not answered.
func (a *attachment) open() *roomv1.AttachRequest_Open {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inputs.reopen(a.members.Steps)
	for _, m := range a.inside {
		if m.unread {
			m.asks = !a.inputs.put(lookInput(m, false, true))
		}
	}
	return a.members.Open(a.roomID, a.gatewayID, a.config, a.fan.own.State)
}

func (a *attachment) opened(epoch uint64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.members.Opened(epoch)
}

func (a *attachment) movedAway(moved *roomv1.AttachResponse_Moved, opened bool) streamEnd {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.members.Moved(moved.GetEpoch())
	return streamEnd{opened: opened, moved: true, host: moved.GetRelayAddress(), err: io.EOF}
}

// recvError is the reason behind a failed send, which Recv tells.
func recvError(stream roomv1.RoomService_AttachClient, sendErr error) error {
	if _, err := stream.Recv(); err != nil {
		return err
	}
	return sendErr
}

// enter gives a client a link and sends its join. False if the attachment is over, or can take nobody.
func (a *attachment) enter(c *client, join *roomv1.Input) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over {
		return false
	}
	if a.idle != nil {
		a.idle.Stop()
		a.idle = nil
	}
	m := &member{Member: a.members.Enter(join.GetJoin()), client: c, socket: c.socket, index: -1}
	m.place = &place{a, m}
	join.Link = m.Link
	a.links[m.Link] = m
	c.place.Store(m.place)
	if !a.inputs.put(join) {
		c.place.CompareAndSwap(m.place, nil)
		a.unlinkLocked(m.Link)
		return false
	}
	return true
}

// unlink takes a client out; the attachment ends if nobody comes for a while.
func (a *attachment) unlink(link uint32) {
	defer a.contain()
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
	delete(a.fan.own, m.Entity)
	a.members.Leave(link)
	if m.index >= 0 && len(a.inside) > 0 { // nobody is, once it is over
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
	defer a.contain()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.idle = nil
	if len(a.links) == 0 {
		a.overLocked()
	}
}

func (a *attachment) isOver() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.over
}

func (a *attachment) overLocked() {
	a.over = true
	a.inputs.close()
	if a.cancel != nil {
		a.cancel()
	}
}

// writeLast ends the attachment with what is held, and so does a panic at that.
func (a *attachment) writeLast() {
	defer a.contain()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.overLocked()
	a.writeHeld(false)
}

// finish closes the attachment for good and returns who was still in.
func (a *attachment) finish() []*member {
	a.writeLast()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.idle != nil {
		a.idle.Stop()
	}
	if a.soon != nil {
		a.soon.Stop()
	}
	orphans := make([]*member, 0, len(a.links))
	for _, m := range a.links {
		orphans = append(orphans, m)
	}
	clear(a.links)
	a.inside = nil
	return orphans
}
