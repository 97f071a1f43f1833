package session

import (
	"time"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	gatewayv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/gateway/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"google.golang.org/grpc/codes"
)

// maxDevice bounds what a client may say of itself, in bytes; presence's contract has the same.
const maxDevice = 64

func (s *Session) hello(rid uint32, hello dialect.Hello) []Action {
	if s.ready {
		return s.protocolError(commonv1.ErrorReason_ERROR_REASON_HELLO_EXPECTED, "hello comes once")
	}
	if len(hello.DeviceName) > maxDevice {
		return s.protocolError(commonv1.ErrorReason_ERROR_REASON_INVALID_FIELD, "device_name is too long")
	}
	s.device = hello.DeviceName
	return []Action{CheckToken{RID: rid, AccessToken: hello.AccessToken}}
}

// TokenChecked takes the result of CheckToken: a token, or why it is none.
func (s *Session) TokenChecked(now time.Time, rid uint32, token Token, refused commonv1.ErrorReason) []Action {
	if s.closed {
		return nil
	}
	if refused != commonv1.ErrorReason_ERROR_REASON_UNSPECIFIED {
		return s.tokenRefused(rid, refused)
	}
	if s.ready {
		return s.refreshed(rid, token)
	}
	s.ready, s.token = true, token
	return []Action{
		Welcome{RID: rid, Frame: frames.Welcome{
			GatewaySessionID: s.ID,
			User:             token.User.User,
			HeartbeatMS:      uint32(s.limits.Heartbeat.Milliseconds()),
			TokenExpiresInMS: uint32(max(0, token.Expires.Sub(now).Milliseconds())),
		}},
		Moved{},
	}
}

func (s *Session) refreshed(rid uint32, token Token) []Action {
	if token.User.ID != s.token.User.ID || token.User.SessionID != s.token.User.SessionID {
		return fail(rid, codes.Unauthenticated, commonv1.ErrorReason_ERROR_REASON_TOKEN_INVALID,
			"the token belongs to another session")
	}
	s.token = token
	return []Action{Ok{RID: rid}}
}

// tokenRefused closes the socket; but a refresh with a bad token leaves the good one in force until it expires.
func (s *Session) tokenRefused(rid uint32, reason commonv1.ErrorReason) []Action {
	actions := fail(rid, codes.Unauthenticated, reason, "the access token was refused")
	if s.ready {
		return actions
	}
	code := gatewayv1.CloseCode_CLOSE_CODE_TOKEN_INVALID
	switch reason {
	case commonv1.ErrorReason_ERROR_REASON_TOKEN_EXPIRED:
		code = gatewayv1.CloseCode_CLOSE_CODE_TOKEN_EXPIRED
	case commonv1.ErrorReason_ERROR_REASON_SESSION_REVOKED:
		code = gatewayv1.CloseCode_CLOSE_CODE_SESSION_REVOKED
	case commonv1.ErrorReason_ERROR_REASON_UNAVAILABLE:
		code = gatewayv1.CloseCode_CLOSE_CODE_UNAVAILABLE
	}
	return append(actions, s.close(code, "the access token was refused")...)
}
