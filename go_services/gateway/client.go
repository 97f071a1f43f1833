package gateway

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
	"github.com/worldmesh/worldmesh/go_services/gateway/session"
	"github.com/worldmesh/worldmesh/go_services/gateway/socket"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

var tracer = otel.Tracer("github.com/worldmesh/worldmesh/go_services/gateway")

// maxControl bounds every frame but a call, in bytes.
const maxControl = 4 << 10

// encoders are lent to whoever writes a frame of the gateway's own.
var encoders = sync.Pool{New: func() any { return frames.NewEncoder() }}

// client is one socket and its session. The session's lock is held only for its pure methods; an attachment's lock
// may be held when it is taken, never the other way round.
type client struct {
	gateway *Gateway
	socket  *socket.Socket
	opened  time.Time

	mu      sync.Mutex
	session *session.Session

	inside atomic.Bool // receives what the room says to all
	missed atomic.Bool // has missed state, for it reads slowly
	place  atomic.Pointer[place]
}

// place is where a client is: its link on an attachment.
type place struct {
	attachment *attachment
	link       uint32
}

func (c *client) isInside() bool        { return c.inside.Load() }
func (c *client) setInside(inside bool) { c.inside.Store(inside) }

func (c *client) setLink(a *attachment, link uint32) { c.place.Store(&place{a, link}) }

// serve reads the socket until it ends.
func (c *client) serve(ctx context.Context) {
	for {
		err := c.socket.Read(func(message []byte) { c.message(ctx, message) })
		if err == nil {
			continue
		}
		var violation *socket.Violation
		if errors.As(err, &violation) {
			c.close(violation.Code, violation.Reason)
		}
		break
	}
	c.do(ctx, c.with((*session.Session).Closed))
}

func (c *client) message(ctx context.Context, message []byte) {
	frame, err := c.socket.Dialect.Decode(message)
	if err != nil {
		c.gateway.metrics.frames.WithLabelValues("in", "bad").Inc()
		c.do(ctx, c.with(func(s *session.Session) []session.Action { return s.BadFrame(time.Now(), frame.RID, err) }))
		return
	}
	kind := frame.Body.Kind()
	c.gateway.metrics.frames.WithLabelValues("in", kind).Inc()
	if _, call := frame.Body.(dialect.Call); !call && len(message) > maxControl {
		c.tooLarge()
		return
	}
	if kind != "move" && kind != "ping" {
		var span trace.Span
		ctx, span = tracer.Start(ctx, "client "+kind, trace.WithSpanKind(trace.SpanKindServer),
			trace.WithAttributes(attribute.String("worldmesh.gateway_session_id", c.session.ID)))
		defer span.End()
	}
	c.do(ctx, c.with(func(s *session.Session) []session.Action { return s.Frame(time.Now(), frame) }))
}

func (c *client) tooLarge() {
	c.reply(func(e *frames.Encoder) []byte {
		return e.Error(0, frames.Error{Reason: "FRAME_TOO_LARGE", Message: "all frames but calls hold 4 KiB at most", Code: 3})
	})
	c.close(1009, "all frames but calls hold 4 KiB at most")
}

// with runs one of the session's methods under its lock.
func (c *client) with(f func(*session.Session) []session.Action) []session.Action {
	c.mu.Lock()
	defer c.mu.Unlock()
	return f(c.session)
}

// do does what a session wants done.
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
		c.gateway.ready(c)
		c.reply(func(e *frames.Encoder) []byte { return e.Welcome(a.RID, a.Frame) })
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
	case session.Forward:
		c.forward(ctx, a)
	case session.Exit:
		c.exit()
	case session.Call:
		c.call(ctx, a)
	case session.Moved:
		c.gateway.presence.moved(c)
	case session.Close:
		c.close(a.Code, a.Reason)
	}
}

func (c *client) forward(ctx context.Context, f session.Forward) {
	p := c.place.Load()
	if p == nil || !p.attachment.enqueue(inputOf(p.link, f.Frame, traceparent(ctx))) {
		c.roomLost(ctx)
	}
}

// exit takes the member out of its room: the socket has ended.
func (c *client) exit() {
	c.setInside(false)
	if p := c.place.Swap(nil); p != nil {
		p.attachment.enqueue(leaveInput(p.link))
		p.attachment.unlink(p.link)
	}
}

// call makes an RPC without holding up the frames that come after it.
func (c *client) call(ctx context.Context, a session.Call) {
	user := c.session.User()
	go func() {
		answer, err := c.gateway.caller.call(ctx, user, c.socket.Dialect, a.RID, a.Body)
		c.mu.Lock()
		c.session.CallDone()
		c.mu.Unlock()
		if err != nil {
			answer, err = c.gateway.caller.failure(c.socket.Dialect, a.RID, err)
		}
		if err != nil {
			c.gateway.log.ErrorContext(ctx, "encode the answer to a call", "method", a.Body.Method, "error", err.Error())
			return
		}
		c.send(socket.Frame(c.socket.Dialect, answer))
	}()
}

// joined, refused and removed take the relay's word on the member. The attachment's lock is held.
func (c *client) joined(ctx context.Context) {
	c.setInside(true)
	c.do(ctx, c.with((*session.Session).Joined))
}

func (c *client) refused(ctx context.Context) {
	c.place.Store(nil)
	c.do(ctx, c.with((*session.Session).Refused))
}

func (c *client) removed(ctx context.Context) {
	c.setInside(false)
	c.place.Store(nil)
	c.do(ctx, c.with((*session.Session).Removed))
}

func (c *client) roomLost(ctx context.Context) {
	c.setInside(false)
	c.place.Store(nil)
	c.do(ctx, c.with((*session.Session).RoomLost))
}

// reply sends a frame of the gateway's own.
func (c *client) reply(encode func(*frames.Encoder) []byte) {
	e, _ := encoders.Get().(*frames.Encoder)
	defer encoders.Put(e)
	message := encode(e)
	if c.socket.Dialect == dialect.JSON {
		var err error
		if message, err = dialect.ToJSON(message); err != nil {
			c.gateway.log.Error("encode a frame", "error", err.Error())
			return
		}
	}
	c.gateway.metrics.frames.WithLabelValues("out", "reply").Inc()
	c.send(socket.Frame(c.socket.Dialect, message))
}

func (c *client) send(frame []byte) {
	if err := c.socket.Send(frame); err != nil {
		c.sendFailed(err)
	}
}

// sendFailed ends a socket that can't be written to. The reader finds out by itself.
func (c *client) sendFailed(err error) {
	if errors.Is(err, socket.ErrSlow) {
		c.gateway.metrics.drops.WithLabelValues("ordered").Inc()
		go c.close(4001, "the client reads too slowly")
		return
	}
	go c.socket.Abort()
}

func (c *client) close(code uint16, reason string) {
	c.gateway.metrics.closed(code)
	c.socket.Close(code, reason)
}

// traceparent is the trace of a client frame, for the relay; empty where there is none.
func traceparent(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	otel.GetTextMapPropagator().Inject(ctx, carrier)
	return carrier["traceparent"]
}
