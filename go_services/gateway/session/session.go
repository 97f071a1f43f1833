// Package session is the protocol of one client's socket, without the socket: frames, decisions of other services and
// the time go in, actions come out. It has no clock, no goroutine and no I/O, so that the protocol can be told as text
// scripts (testdata/).
package session

import (
	"errors"
	"fmt"
	"time"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	gatewayv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/gateway/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"google.golang.org/genproto/googleapis/rpc/code"
)

// Limits are what a session may do.
type Limits struct {
	// Hello bounds the time from the open socket to a good hello.
	Hello time.Duration
	// Heartbeat is how often a client that has nothing to say pings; twice as long in silence ends the session.
	Heartbeat time.Duration
	// Join bounds the time from a join to the relay's answer.
	Join time.Duration
	// FramesPerSecond and FrameBurst bound how many frames a client sends; BytesPerSecond and ByteBurst how large.
	FramesPerSecond, FrameBurst float64
	BytesPerSecond, ByteBurst   float64
	// Patience is how many more frames may be refused than are taken before the session ends.
	Patience int
	// Calls bounds the RPCs of one socket that are under way.
	Calls int
}

// DefaultLimits are the limits that the documentation of the wire names.
func DefaultLimits() Limits {
	return Limits{
		Hello: 5 * time.Second, Heartbeat: 3500 * time.Millisecond, Join: 5 * time.Second,
		FramesPerSecond: 60, FrameBurst: 120, BytesPerSecond: 64 << 10, ByteBurst: 256 << 10,
		Patience: 120, Calls: 8,
	}
}

// MaxControl bounds every frame but a call, in bytes.
const MaxControl = 4 << 10

// MaxValues bounds what an application syncs with an entity, in bytes, as the contract has it.
const MaxValues = 256

// requiredScope is what a token must hold for a socket.
const requiredScope = "client"

// User is who a token speaks for.
type User struct {
	frames.User
	SessionID string
	Kind      string
	Scopes    []string
}

// Token is what a good token says.
type Token struct {
	User    User
	Expires time.Time
}

type roomPhase uint8

const (
	outside  roomPhase = iota
	entering           // world was asked, or the relay
	inside
)

// Session is one client's socket. Its methods must not be called at the same time; what they return must be done in
// order.
type Session struct {
	// ID is the gateway's session id.
	ID     string
	limits Limits

	opened  time.Time
	heard   time.Time
	ready   bool
	token   Token
	device  string
	room    string
	phase   roomPhase
	joinRID uint32
	resumes bool // the join is of one who comes back
	joining time.Time
	calls   int
	closed  bool
	final   bool // closed for a reason after which the client does not come back
	lost    bool // over, and it may
	frames  bucket
	bytes   bucket
	refused int
}

// New makes the session of a socket that has just opened.
func New(id string, limits Limits, now time.Time) *Session {
	return &Session{
		ID: id, limits: limits, opened: now, heard: now,
		frames: newBucket(limits.FramesPerSecond, limits.FrameBurst, now),
		bytes:  newBucket(limits.BytesPerSecond, limits.ByteBurst, now),
	}
}

// Ready says whether hello was answered.
func (s *Session) Ready() bool { return s.ready && !s.closed }

// User is who the session belongs to, once it is ready.
func (s *Session) User() User { return s.token.User }

// Device is what the client said of itself.
func (s *Session) Device() string { return s.device }

// Room is the room that the session is in, or empty.
func (s *Session) Room() string {
	if s.phase == inside {
		return s.room
	}
	return ""
}

// Frame takes a frame of the client, and how many bytes it had.
func (s *Session) Frame(now time.Time, f dialect.ClientFrame, size int) []Action {
	if s.closed {
		return nil
	}
	s.heard = now
	if actions := s.limit(now, f.RID, size); actions != nil {
		return actions
	}
	if _, call := f.Body.(dialect.Call); !call && size > MaxControl {
		return s.fatal(closeTooLarge, commonv1.ErrorReason_ERROR_REASON_FRAME_TOO_LARGE,
			fmt.Sprintf("all frames but calls hold %d bytes at most", MaxControl))
	}
	if hello, ok := f.Body.(dialect.Hello); ok {
		return s.hello(f.RID, hello)
	}
	if !s.ready {
		return s.protocolError(commonv1.ErrorReason_ERROR_REASON_HELLO_EXPECTED, "the first frame must be hello")
	}
	switch body := f.Body.(type) {
	case dialect.Refresh:
		return []Action{CheckToken{RID: f.RID, AccessToken: body.AccessToken}}
	case dialect.Join:
		return s.join(now, f.RID, body)
	case dialect.Call:
		return s.call(f.RID, body)
	case dialect.Ping:
		return []Action{Pong{RID: f.RID, ClientTimeMS: body.ClientTimeMS, ServerTimeMS: uint64(now.UnixMilli())}}
	default:
		return s.forward(f)
	}
}

// BadFrame takes a message that is no frame.
func (s *Session) BadFrame(now time.Time, rid uint32, size int, err error) []Action {
	if s.closed {
		return nil
	}
	s.heard = now
	if actions := s.limit(now, rid, size); actions != nil {
		return actions
	}
	if errors.Is(err, dialect.ErrUnknown) {
		if !s.ready {
			return s.protocolError(commonv1.ErrorReason_ERROR_REASON_HELLO_EXPECTED, "the first frame must be hello")
		}
		return fail(rid, code.Code_INVALID_ARGUMENT, commonv1.ErrorReason_ERROR_REASON_FRAME_UNKNOWN, err.Error())
	}
	return s.protocolError(commonv1.ErrorReason_ERROR_REASON_FRAME_MALFORMED, err.Error())
}

// Violated takes a message that breaks WebSocket's own rules, with the close code of RFC 6455 that says so.
func (s *Session) Violated(closeCode uint16, reason commonv1.ErrorReason, message string) []Action {
	return s.fatal(gatewayv1.CloseCode(closeCode), reason, message)
}

// Time looks at what time alone changes. Call it about once a second.
func (s *Session) Time(now time.Time) []Action {
	switch {
	case s.closed:
		return nil
	case !s.ready && now.Sub(s.opened) >= s.limits.Hello:
		return s.fatal(gatewayv1.CloseCode_CLOSE_CODE_TOKEN_MISSING, commonv1.ErrorReason_ERROR_REASON_TOKEN_MISSING,
			"no hello in time")
	case now.Sub(s.heard) >= 2*s.limits.Heartbeat:
		return s.fatal(gatewayv1.CloseCode_CLOSE_CODE_HEARTBEAT_TIMEOUT,
			commonv1.ErrorReason_ERROR_REASON_HEARTBEAT_TIMEOUT, "nothing was heard for too long")
	case s.ready && !now.Before(s.token.Expires):
		return s.fatal(gatewayv1.CloseCode_CLOSE_CODE_TOKEN_EXPIRED, commonv1.ErrorReason_ERROR_REASON_TOKEN_EXPIRED,
			"the access token has expired")
	case s.phase == entering && now.Sub(s.joining) >= s.limits.Join:
		return s.joinTimedOut()
	}
	return nil
}

// Revoked ends the session because its tokens are void.
func (s *Session) Revoked() []Action {
	return s.fatal(gatewayv1.CloseCode_CLOSE_CODE_SESSION_REVOKED, commonv1.ErrorReason_ERROR_REASON_SESSION_REVOKED,
		"the session was revoked")
}

// Drain ends the session because the gateway does.
func (s *Session) Drain() []Action {
	return s.fatal(gatewayv1.CloseCode_CLOSE_CODE_DRAINING, commonv1.ErrorReason_ERROR_REASON_DRAINING,
		"the gateway is shutting down")
}

// TooSlow ends the session because its client does not take what its room says.
func (s *Session) TooSlow() []Action {
	return s.fatal(gatewayv1.CloseCode_CLOSE_CODE_SLOW_CONSUMER, commonv1.ErrorReason_ERROR_REASON_SLOW_CONSUMER,
		"the client reads too slowly")
}

// Closed takes note that the socket has ended, by the client's own goodbye or otherwise, and says what must be undone.
// Who was cut off, or told to come back, stays in its room for a while.
func (s *Session) Closed(goodbye bool) []Action {
	s.closed, s.lost = true, !goodbye && !s.final
	if s.phase == outside {
		return nil
	}
	s.phase = outside
	return []Action{Exit{RoomID: s.room, Hold: s.lost}}
}

// Lost says whether the socket has ended, and its client may come back: it was cut off, or told to.
func (s *Session) Lost() bool { return s.lost }
