package gateway

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	gatewayv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/gateway/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
	"github.com/worldmesh/worldmesh/go_services/gateway/session"
	"github.com/worldmesh/worldmesh/go_services/gateway/socket"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// closeGone is counted for sockets whose client went away without a word; RFC 6455 has this number for it.
const closeGone = 1006

// client is one socket and its session. The session's lock is held only for its pure methods, and while presence is told (whose
// lock is taken then); an attachment's lock may be held when it is taken, never the other way round.
type client struct {
	gateway *Gateway
	socket  *socket.Socket
	opened  time.Time

	mu      sync.Mutex
	session *session.Session
	gone    bool // presence was told so

	// acting is held while a frame, or what time alone has changed, is acted on: one may take the member out of a room
	// while the other brings it into the next.
	acting sync.Mutex
	place  atomic.Pointer[place]

	// life ends with the socket; calls under way end with it. Made for the first call, by the reader.
	life context.Context //nolint:containedctx // see above
	end  context.CancelFunc
}

// place is where a client is: as a member of an attachment.
type place struct {
	attachment *attachment
	member     *member
}

// serve reads the socket until it ends.
func (c *client) serve(ctx context.Context) {
	c.socket.OnDrained(c.catchUp)
	handle := func(message []byte) { c.message(ctx, message) }
	err := c.socket.Read(handle)
	for err == nil {
		err = c.socket.Read(handle)
	}
	c.over(ctx, err)
	if c.end != nil {
		c.end()
	}
}

// over takes the client out, whose socket has ended.
func (c *client) over(ctx context.Context, err error) {
	defer c.contain(ctx)
	c.ended(err)
	c.do(ctx, c.with(func(s *session.Session) []session.Action { return s.Closed(c.socket.LeftFirst()) }))
}

// act does what somebody else than the client has its session do.
func (c *client) act(ctx context.Context, f func(*session.Session) []session.Action) {
	defer c.contain(ctx)
	c.do(ctx, c.with(f))
}

// ended closes a socket whose client broke the rules, and counts one whose client went away.
func (c *client) ended(err error) {
	var violation *socket.Violation
	switch {
	case errors.As(err, &violation):
		c.violated(violation)
	case c.socket.LeftFirst():
		c.gateway.metrics.closed(socket.CloseNormal)
	case !c.socket.Closed():
		c.gateway.metrics.closed(closeGone)
	}
}

func (c *client) violated(v *socket.Violation) {
	reason := commonv1.ErrorReason_ERROR_REASON_FRAME_MALFORMED
	switch v.Code {
	case socket.CloseTooLarge:
		reason = commonv1.ErrorReason_ERROR_REASON_FRAME_TOO_LARGE
	case socket.CloseOverloaded:
		reason = commonv1.ErrorReason_ERROR_REASON_RATE_LIMITED
	}
	c.do(context.Background(), c.with(func(s *session.Session) []session.Action {
		return s.Violated(v.Code, reason, v.Reason)
	}))
}

// message takes a message of the client, on the reading goroutine, whose stack stays with the idle socket: what needs
// a deep stack runs on one that goes away again, and the reader waits for it.
func (c *client) message(ctx context.Context, message []byte) {
	if c.socket.Dialect == dialect.JSON {
		aside(func() { c.take(ctx, message, false) })
		return
	}
	c.take(ctx, message, true)
}

// aside runs f on another stack.
func aside(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

// take decodes a message and acts on it. On the reader's stack it acts only on frames that come many times a second.
func (c *client) take(ctx context.Context, message []byte, onReader bool) {
	defer c.contain(ctx)
	now := time.Now()
	frame, err := c.socket.Dialect.Decode(message)
	switch {
	case err != nil:
		c.bad(ctx, now, frame.RID, len(message), err)
	case onReader && traced(frame.Body.Kind()):
		aside(func() {
			defer c.contain(ctx)
			c.frame(ctx, now, frame, len(message))
		})
	default:
		c.frame(ctx, now, frame, len(message))
	}
}

// contain ends the socket of a client at whose frame the gateway panics, for nobody knows what state its session is in.
// Others notice nothing.
func (c *client) contain(ctx context.Context) {
	p := recover()
	if p == nil {
		return
	}
	c.gateway.log.ErrorContext(ctx, "the gateway panicked at a client's frame", "session", c.session.ID,
		"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	c.gateway.metrics.panics.WithLabelValues(panickedSocket).Inc()
	defer func() {
		_ = recover() // it may fail at the same again: then it has no last word
		if !c.socket.Closed() {
			c.socket.Abort()
		}
	}()
	c.do(ctx, c.with(func(s *session.Session) []session.Action {
		return s.Violated(socket.CloseInternal, commonv1.ErrorReason_ERROR_REASON_INTERNAL, "the gateway failed at this")
	}))
}

func (c *client) bad(ctx context.Context, now time.Time, rid uint32, size int, err error) {
	c.acting.Lock()
	defer c.acting.Unlock()
	c.gateway.metrics.received["bad"].Inc()
	c.do(ctx, c.with(func(s *session.Session) []session.Action { return s.BadFrame(now, rid, size, err) }))
}

func (c *client) frame(ctx context.Context, now time.Time, frame dialect.ClientFrame, size int) {
	c.acting.Lock()
	defer c.acting.Unlock()
	kind := frame.Body.Kind()
	c.gateway.metrics.received[kind].Inc()
	actions := c.with(func(s *session.Session) []session.Action { return s.Frame(now, frame, size) })
	if traced(kind) {
		var span trace.Span
		ctx, span = startSpan(ctx, kind, c.session.ID)
		if !slices.ContainsFunc(actions, isCall) { // a call ends its span when it is answered
			defer span.End()
		}
	}
	for _, action := range actions {
		if _, ok := action.(session.Forward); ok {
			c.forward(ctx, frame)
		} else {
			c.doOne(ctx, action)
		}
	}
}

// tick looks at what time alone changes; not while a frame is acted on, which is as good as time.
func (c *client) tick(ctx context.Context, now time.Time) {
	defer c.contain(ctx)
	if !c.acting.TryLock() {
		return
	}
	defer c.acting.Unlock()
	c.do(ctx, c.with(func(s *session.Session) []session.Action { return s.Time(now) }))
}

func isCall(a session.Action) bool {
	_, ok := a.(session.Call)
	return ok
}

// with runs one of the session's methods under its lock.
func (c *client) with(f func(*session.Session) []session.Action) []session.Action {
	c.mu.Lock()
	defer c.mu.Unlock()
	return f(c.session)
}

// do does what a session wants done, in order.
func (c *client) do(ctx context.Context, actions []session.Action) {
	for _, action := range actions {
		c.doOne(ctx, action)
	}
}

func (c *client) doOne(ctx context.Context, action session.Action) {
	switch a := action.(type) {
	case session.CheckToken:
		token, refused := c.gateway.tokens.check(ctx, a.AccessToken)
		c.do(ctx, c.with(func(s *session.Session) []session.Action {
			return s.TokenChecked(time.Now(), a.RID, token, refused)
		}))
	case session.Welcome:
		c.socket.AllowLarge()
		c.reply(func(e *frames.Encoder) []byte { return e.Welcome(a.RID, a.Frame) })
		c.gateway.ready(c)
	case session.Ok:
		c.reply(func(e *frames.Encoder) []byte { return e.Ok(a.RID) })
	case session.Reply:
		c.reply(func(e *frames.Encoder) []byte { return e.Error(a.RID, a.Error) })
	case session.Pong:
		c.reply(func(e *frames.Encoder) []byte { return e.Pong(a.RID, a.ClientTimeMS, a.ServerTimeMS) })
	case session.Left:
		c.reply(func(e *frames.Encoder) []byte { return e.RoomLeft(a.RoomID, a.Reason) })
	case session.Enter:
		c.gateway.enter(ctx, c, a)
	case session.Exit:
		c.exit(a.Hold)
	case session.Call:
		c.call(ctx, a)
	case session.Moved:
		c.gateway.presence.moved(c)
	case session.Close:
		c.close(a)
	}
}

// forward sends a frame to the relay of the room.
func (c *client) forward(ctx context.Context, f dialect.ClientFrame) {
	p := c.place.Load()
	if p == nil {
		c.roomLost(ctx, nil)
		return
	}
	inputs, taken := p.attachment.inputs, true
	switch move, ok := f.Body.(dialect.Move); {
	case !ok:
		taken = inputs.put(inputOf(p.member.Link, c.session.ID, c.gateway.number(), f, traceparent(ctx)))
	case f.RID != 0:
		taken = inputs.askedStep(p.member.Member, move, f.RID, c.gateway.number())
	default:
		inputs.step(p.member.Member, move)
	}
	if !taken {
		c.reply(func(e *frames.Encoder) []byte { return e.Error(f.RID, errorFrame(errRoomBusy)) })
	}
}

// exit takes the member out of its room without an answer: for good, or on hold.
func (c *client) exit(hold bool) {
	if p := c.place.Swap(nil); p != nil {
		p.attachment.inputs.exit(p.member.Member, exitInput(p.member.Link, c.session.ID, c.gateway.number(), hold))
		p.attachment.unlink(p.member.Link)
	}
}

// call makes an RPC without holding up the frames that come after it.
func (c *client) call(ctx context.Context, a session.Call) {
	if c.life == nil {
		c.life, c.end = context.WithCancel(c.gateway.ctx)
	}
	life, span, user := c.life, trace.SpanFromContext(ctx), c.session.User()
	c.gateway.running.Add(1)
	go func() {
		defer c.gateway.running.Done()
		defer span.End()
		defer c.contain(ctx)
		ctx := trace.ContextWithSpan(life, span)
		answer, err := c.gateway.caller.answer(ctx, user, c.socket.Dialect, a.RID, a.Body)
		c.with(func(s *session.Session) []session.Action {
			s.CallDone()
			return nil
		})
		if err != nil {
			c.gateway.log.ErrorContext(ctx, "encode the answer to a call", "method", a.Body.Method, "error", err.Error())
			return
		}
		c.gateway.metrics.sent[answer.kind].Inc()
		c.send(socket.AppendFrame(nil, c.socket.Dialect, answer.message))
	}()
}

// became takes the relay's word on the member, if the client still is where it was. The attachment's lock is held.
func (c *client) became(ctx context.Context, m *member, what *roomv1.Membership) {
	switch what.GetOutcome().(type) {
	case *roomv1.Membership_JoinedEntity:
		if c.place.Load() == m.place {
			c.do(ctx, c.with((*session.Session).Joined))
		}
	case *roomv1.Membership_Refused:
		c.out(ctx, m.place, (*session.Session).Refused)
	case *roomv1.Membership_Removed:
		c.out(ctx, m.place, (*session.Session).Removed)
	}
}

// roomLost takes the news that no relay has the room, if the client still is where it was.
func (c *client) roomLost(ctx context.Context, was *place) {
	defer c.contain(ctx)
	c.out(ctx, was, (*session.Session).RoomLost)
}

// out takes the client out of where it was, if it still is there. Both at once: else what is meant for one room could meet
// a session that is on its way into the next.
func (c *client) out(ctx context.Context, was *place, news func(*session.Session) []session.Action) {
	c.do(ctx, c.with(func(s *session.Session) []session.Action {
		if !c.place.CompareAndSwap(was, nil) {
			return nil
		}
		return news(s)
	}))
}

// catchUp sends the newest state to a client that has missed some while it did not keep up.
func (c *client) catchUp() {
	if p := c.place.Load(); p != nil {
		p.attachment.catchUp(p.member.Link)
	}
}

// send writes a frame that is ready for the wire. Only the last words of a socket may follow a failure.
func (c *client) send(frame []byte) {
	if err := c.socket.Send(frame); err != nil {
		c.sendFailed(err)
	}
}

// sendFailed ends a socket that can't be written to. It may be called with the attachment's lock held.
func (c *client) sendFailed(err error) {
	if !errors.Is(err, socket.ErrSlow) {
		c.socket.Abort()
		return
	}
	c.gateway.metrics.drops.WithLabelValues(droppedOrdered).Inc()
	c.do(context.Background(), c.with((*session.Session).TooSlow))
}

// close says why, in the client's terms and in WebSocket's, and closes.
func (c *client) close(a session.Close) {
	if a.Error.Reason != "" && !c.socket.Closed() {
		c.lastReply(func(e *frames.Encoder) []byte { return e.Error(0, a.Error) })
	}
	if c.socket.Close(a.Code, a.Reason) {
		c.gateway.metrics.closed(a.Code)
	}
}

// view is the session as an operator sees it.
func (c *client) view() *gatewayv1.GatewaySession {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &gatewayv1.GatewaySession{
		GatewaySessionId: c.session.ID, UserId: c.session.User().ID, RoomId: c.session.Room(),
		Dialect: c.socket.Dialect.String(), OpenTime: timestamppb.New(c.opened), QueuedBytes: int32(c.socket.Queued()),
	}
}
