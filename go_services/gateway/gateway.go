package gateway

import (
	"context"
	"crypto/tls"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"
	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/session"
	"github.com/worldmesh/worldmesh/go_services/gateway/socket"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"google.golang.org/grpc/codes"
)

// errRoomBusy answers who wants something of a room for which too much waits already.
var errRoomBusy = kit.NewError(codes.Unavailable, commonv1.ErrorReason_ERROR_REASON_ROOM_UNAVAILABLE,
	"too much waits for the room's relay").After(time.Second)

// linger is how long a room's stream stays after its last member has left: for its last words, and for the next one.
const linger = 3 * time.Second

// giveUpTime is how long a room may be at no relay before its members are told.
const giveUpTime = 20 * time.Second

// Gateway is all sockets of this instance and what they share.
type Gateway struct {
	cfg      Config
	limits   session.Limits
	log      *slog.Logger
	metrics  *metrics
	entries  *entries
	relays   roomv1.RoomServiceClient
	watch    *relayWatch
	tokens   *tokens
	revoked  *revocations
	caller   *caller
	presence *presence
	outage   *outage[*attachment]
	large    *socket.Budget
	turns    *socket.Turns
	linger   time.Duration
	giveUp   time.Duration

	//nolint:containedctx // the life of everything that outlives one frame
	ctx     context.Context
	count   atomic.Int64
	numbers atomic.Uint64 // of inputs: unique for a session, whichever room it is in

	mu          sync.Mutex
	clients     map[*client]struct{}
	sessions    map[string][]*client // those that have said hello, by the session of their token
	attachments map[string]*attachment
	running     sync.WaitGroup // all that ends with ctx
}

// acquire takes a place for one more connection; false if there is none.
func (g *Gateway) acquire() bool {
	if g.count.Add(1) > g.cfg.MaxSockets {
		g.count.Add(-1)
		return false
	}
	return true
}

func (g *Gateway) release() { g.count.Add(-1) }

func (g *Gateway) listener(config *tls.Config) *socket.Listener {
	return &socket.Listener{
		TLS: config, Origins: g.cfg.Origins, QueueBytes: g.cfg.QueueBytes, Large: g.large,
		Acquire: g.acquire, Release: g.release, Turns: g.turns, Serve: g.serve, Log: g.log,
	}
}

// startParts starts what goes on without any socket.
func (g *Gateway) startParts() {
	g.start(g.revoked.run)
	g.start(g.tokens.keys.run)
	g.start(g.sweep)
	g.start(g.presence.run)
}

// start runs a part of the gateway until its context ends.
func (g *Gateway) start(part func(context.Context)) {
	g.running.Add(1)
	go func() {
		defer g.running.Done()
		part(g.ctx)
	}()
}

// serve runs one socket from its handshake to its end.
func (g *Gateway) serve(s *socket.Socket) {
	now := time.Now()
	c := &client{
		gateway: g, socket: s, opened: now,
		session: session.New("gws_"+ulid.Make().String(), g.limits, now),
	}
	g.metrics.sockets[s.Dialect].Inc()
	g.mu.Lock()
	g.clients[c] = struct{}{}
	g.mu.Unlock()
	defer g.forgetClient(c)
	c.serve(g.ctx)
}

func (g *Gateway) forgetClient(c *client) {
	g.metrics.sockets[c.socket.Dialect].Dec()
	sessionID := c.session.User().SessionID
	g.mu.Lock()
	delete(g.clients, c)
	rest := slices.DeleteFunc(g.sessions[sessionID], func(other *client) bool { return other == c })
	if len(rest) == 0 {
		delete(g.sessions, sessionID)
	} else {
		g.sessions[sessionID] = rest
	}
	g.mu.Unlock()
	g.presence.gone(c)
	if g.revoked.has(sessionID) { // while it was neither here nor lost
		g.presence.revoked(c.session.User().ID, sessionID)
	}
}

// ready makes a session known that has said hello, and looks once more whether it was revoked meanwhile.
func (g *Gateway) ready(c *client) {
	sessionID := c.session.User().SessionID
	g.mu.Lock()
	g.sessions[sessionID] = append(g.sessions[sessionID], c)
	g.mu.Unlock()
	if g.revoked.has(sessionID) {
		c.act(g.ctx, (*session.Session).Revoked)
	}
}

// sweep looks once a second at what time alone changes.
func (g *Gateway) sweep(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			for _, c := range g.all() {
				c.tick(ctx, now)
			}
		}
	}
}

func (g *Gateway) all() []*client {
	g.mu.Lock()
	defer g.mu.Unlock()
	clients := make([]*client, 0, len(g.clients))
	for c := range g.clients {
		clients = append(clients, c)
	}
	return clients
}

// revoke closes the sockets of a session.
func (g *Gateway) revoke(userID, sessionID string) {
	g.mu.Lock()
	clients := slices.Clone(g.sessions[sessionID])
	g.mu.Unlock()
	for _, c := range clients {
		c.act(g.ctx, (*session.Session).Revoked)
	}
	g.presence.revoked(userID, sessionID)
}

// drain tells all clients to move, spread over three quarters of the time there is, so that they do not arrive
// elsewhere all at once.
func (g *Gateway) drain(ctx context.Context) {
	clients := g.all()
	if len(clients) > 0 {
		every := time.NewTicker(max(g.cfg.Drain()*3/4/time.Duration(len(clients)), time.Microsecond))
		defer every.Stop()
		for i, c := range clients {
			if i > 0 {
				select {
				case <-ctx.Done():
				case <-every.C:
				}
			}
			c.act(ctx, (*session.Session).Drain)
		}
	}
	for g.count.Load() > 0 && ctx.Err() == nil {
		for _, c := range g.all() { // also those that were shaking hands
			c.act(ctx, (*session.Session).Drain)
		}
		_ = kit.Sleep(ctx, 20*time.Millisecond)
	}
	for _, c := range g.all() {
		c.socket.Abort()
	}
	g.presence.flush(ctx)
}

// enter asks world whether the user may enter, and then the relay by the room's attachment.
func (g *Gateway) enter(ctx context.Context, c *client, e session.Enter) {
	user := c.session.User()
	entry, err := g.entries.authorize(ctx, e.RoomID, user.ID)
	if err != nil {
		c.do(ctx, c.with(func(s *session.Session) []session.Action { return s.EntryRefused(errorFrame(err)) }))
		return
	}
	parent := traceparent(ctx)
	for {
		a := g.attach(e.RoomID, configOf(entry))
		if a == nil {
			c.roomLost(ctx, nil)
			return
		}
		if a.enter(c, joinInput(e, c.session.ID, g.number(), user, entry.GetRole(), parent)) {
			return
		}
		if !a.isOver() {
			c.do(ctx, c.with(func(s *session.Session) []session.Action { return s.EntryRefused(errorFrame(errRoomBusy)) }))
			return
		}
		g.forget(a)
	}
}

// number names an input of this gateway.
func (g *Gateway) number() uint64 { return g.numbers.Add(1) }

// attach finds the room's attachment, or opens one; nil if the gateway is shutting down.
func (g *Gateway) attach(roomID string, cfg *roomv1.RoomConfig) *attachment {
	g.mu.Lock()
	defer g.mu.Unlock()
	if a := g.attachments[roomID]; a != nil {
		return a
	}
	if g.ctx.Err() != nil {
		return nil
	}
	a := newAttachment(roomID, cfg, g)
	g.attachments[roomID] = a
	g.metrics.rooms.Inc()
	g.start(a.run)
	return a
}

func (g *Gateway) forget(a *attachment) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.attachments[a.roomID] == a {
		delete(g.attachments, a.roomID)
		g.metrics.rooms.Dec()
	}
}

// attachmentEnded tells those who were in the room.
func (g *Gateway) attachmentEnded(a *attachment) {
	g.forget(a)
	for _, m := range a.finish() {
		m.client.roomLost(g.ctx, m.place)
	}
}
