package session

import (
	"slices"
	"time"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	gatewayv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/gateway/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"google.golang.org/genproto/googleapis/rpc/code"
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
	if !slices.Contains(token.User.Scopes, requiredScope) {
		return s.fatal(gatewayv1.CloseCode_CLOSE_CODE_FORBIDDEN, commonv1.ErrorReason_ERROR_REASON_SCOPE_MISSING,
			"the access token lacks the scope "+requiredScope)
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
		return fail(rid, code.Code_UNAUTHENTICATED, commonv1.ErrorReason_ERROR_REASON_TOKEN_INVALID,
			"the token belongs to another session")
	}
	s.token = token
	return []Action{Ok{RID: rid}}
}

// tokenRefused closes the socket; but a refresh with a bad token leaves the good one in force until it expires.
func (s *Session) tokenRefused(rid uint32, reason commonv1.ErrorReason) []Action {
	const message = "the access token was refused"
	if s.ready {
		return fail(rid, codeOf(reason), reason, message)
	}
	closeCode := gatewayv1.CloseCode_CLOSE_CODE_TOKEN_INVALID
	switch reason {
	case commonv1.ErrorReason_ERROR_REASON_TOKEN_EXPIRED:
		closeCode = gatewayv1.CloseCode_CLOSE_CODE_TOKEN_EXPIRED
	case commonv1.ErrorReason_ERROR_REASON_SESSION_REVOKED:
		closeCode = gatewayv1.CloseCode_CLOSE_CODE_SESSION_REVOKED
	case commonv1.ErrorReason_ERROR_REASON_UNAVAILABLE:
		closeCode = gatewayv1.CloseCode_CLOSE_CODE_UNAVAILABLE
	}
	return append(fail(rid, codeOf(reason), reason, message), s.fatal(closeCode, reason, message)...)
}
