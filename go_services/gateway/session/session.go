// Package session is the protocol of one client's socket, without the socket: frames, decisions of other services and
// the time go in, actions come out. It has no clock, no goroutine and no I/O, so that the protocol can be told as text
// scripts (testdata/).
package session

import (
	"time"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	gatewayv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/gateway/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"google.golang.org/grpc/codes"
)

// Limits are what a session may do.
type Limits struct {
	// Hello bounds the time from the open socket to a good hello.
	Hello time.Duration
	// Heartbeat is how often a client that has nothing to say pings; twice as long in silence ends the session.
	Heartbeat time.Duration
	// FramesPerSecond and FrameBurst bound what a client sends.
	FramesPerSecond, FrameBurst float64
	// Calls bounds the RPCs of one socket that are under way.
	Calls int
}

// DefaultLimits are the limits that the documentation of the wire names.
func DefaultLimits() Limits {
	return Limits{
		Hello: 5 * time.Second, Heartbeat: 15 * time.Second,
		FramesPerSecond: 60, FrameBurst: 120, Calls: 8,
	}
}

// strikes is how many frames in a row over the limit end a session.
const strikes = 120

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
	calls   int
	closed  bool
	bucket  float64
	filled  time.Time
	struck  int
}

// New makes the session of a socket that has just opened.
func New(id string, limits Limits, now time.Time) *Session {
	return &Session{ID: id, limits: limits, opened: now, heard: now, bucket: limits.FrameBurst, filled: now}
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

// Frame takes a frame of the client.
func (s *Session) Frame(now time.Time, f dialect.ClientFrame) []Action {
	if s.closed {
		return nil
	}
	s.heard = now
	if actions := s.limit(now, f.RID); actions != nil {
		return actions
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
		return s.join(f.RID, body)
	case dialect.Call:
		return s.call(f.RID, body)
	case dialect.Ping:
		return []Action{Pong{RID: f.RID, ClientTimeMS: body.ClientTimeMS, ServerTimeMS: uint64(now.UnixMilli())}}
	default:
		return s.forward(f)
	}
}

// BadFrame takes a message that is no frame.
func (s *Session) BadFrame(now time.Time, rid uint32, err error) []Action {
	if s.closed {
		return nil
	}
	s.heard = now
	if actions := s.limit(now, rid); actions != nil {
		return actions
	}
	if err == dialect.ErrUnknown { //nolint:errorlint // it is returned bare
		return fail(rid, codes.InvalidArgument, commonv1.ErrorReason_ERROR_REASON_FRAME_UNKNOWN, err.Error())
	}
	return s.protocolError(commonv1.ErrorReason_ERROR_REASON_FRAME_MALFORMED, err.Error())
}

// Time looks at what time alone changes. Call it about once a second.
func (s *Session) Time(now time.Time) []Action {
	switch {
	case s.closed:
		return nil
	case !s.ready && now.Sub(s.opened) >= s.limits.Hello:
		return s.close(gatewayv1.CloseCode_CLOSE_CODE_TOKEN_MISSING, "no hello in time")
	case now.Sub(s.heard) >= 2*s.limits.Heartbeat:
		return s.close(gatewayv1.CloseCode_CLOSE_CODE_HEARTBEAT_TIMEOUT, "nothing was heard for too long")
	case s.ready && !now.Before(s.token.Expires):
		return s.close(gatewayv1.CloseCode_CLOSE_CODE_TOKEN_EXPIRED, "the access token has expired")
	}
	return nil
}

// Revoked ends the session because its tokens are void.
func (s *Session) Revoked() []Action {
	return s.close(gatewayv1.CloseCode_CLOSE_CODE_SESSION_REVOKED, "the session was revoked")
}

// Drain ends the session because the gateway does.
func (s *Session) Drain() []Action {
	return s.close(gatewayv1.CloseCode_CLOSE_CODE_DRAINING, "the gateway is shutting down")
}

// Closed takes note that the socket has ended, and says what must be undone.
func (s *Session) Closed() []Action {
	s.closed = true
	if s.phase == outside {
		return nil
	}
	s.phase = outside
	return []Action{Exit{RoomID: s.room}}
}

// limit is a token bucket over all frames of the client.
func (s *Session) limit(now time.Time, rid uint32) []Action {
	s.bucket = min(s.limits.FrameBurst, s.bucket+now.Sub(s.filled).Seconds()*s.limits.FramesPerSecond)
	s.filled = now
	if s.bucket >= 1 {
		s.bucket--
		s.struck = 0
		return nil
	}
	s.struck++
	if s.struck >= strikes {
		return s.close(gatewayv1.CloseCode_CLOSE_CODE_RATE_LIMITED, "too many frames")
	}
	wait := uint32((1 - s.bucket) / s.limits.FramesPerSecond * 1000)
	return []Action{Reply{RID: rid, Error: frames.Error{
		Reason: reasonName(commonv1.ErrorReason_ERROR_REASON_RATE_LIMITED), Message: "too many frames",
		Code: int32(codes.ResourceExhausted), RetryAfterMS: wait + 1,
	}}}
}

// protocolError answers and closes with WebSocket's own code for a peer that breaks the rules.
func (s *Session) protocolError(reason commonv1.ErrorReason, message string) []Action {
	return append(fail(0, codes.InvalidArgument, reason, message), s.close(closePolicyViolation, message)...)
}

// closePolicyViolation is WebSocket's 1008.
const closePolicyViolation gatewayv1.CloseCode = 1008

func (s *Session) close(code gatewayv1.CloseCode, reason string) []Action {
	if s.closed {
		return nil
	}
	s.closed = true
	return []Action{Close{Code: uint16(code), Reason: reason}}
}
