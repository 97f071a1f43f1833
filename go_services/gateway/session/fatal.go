package session

import (
	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	gatewayv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/gateway/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"google.golang.org/genproto/googleapis/rpc/code"
)

// Close codes of RFC 6455 that the protocol uses beside its own.
const (
	closePolicyViolation gatewayv1.CloseCode = 1008
	closeInternal        gatewayv1.CloseCode = 1011
	closeTooLarge        gatewayv1.CloseCode = 1009
)

// fatal ends the session: the client gets an error that belongs to no frame, then the close code.
func (s *Session) fatal(closeCode gatewayv1.CloseCode, reason commonv1.ErrorReason, message string) []Action {
	if s.closed {
		return nil
	}
	s.closed, s.final = true, !comesBack(closeCode)
	return []Action{Close{
		Code: uint16(closeCode), Reason: reasonName(reason),
		Error: frames.Error{Reason: reasonName(reason), Message: message, Code: int32(codeOf(reason))},
	}}
}

// comesBack says whether a client that was closed with a code is to come back as it is.
func comesBack(c gatewayv1.CloseCode) bool {
	switch c {
	case closeInternal, gatewayv1.CloseCode_CLOSE_CODE_DRAINING, gatewayv1.CloseCode_CLOSE_CODE_SLOW_CONSUMER,
		gatewayv1.CloseCode_CLOSE_CODE_HEARTBEAT_TIMEOUT, gatewayv1.CloseCode_CLOSE_CODE_OVERLOADED,
		gatewayv1.CloseCode_CLOSE_CODE_RATE_LIMITED, gatewayv1.CloseCode_CLOSE_CODE_UNAVAILABLE,
		gatewayv1.CloseCode_CLOSE_CODE_TOKEN_EXPIRED:
		return true
	default:
		return false
	}
}

// protocolError ends the session of a client that breaks the rules of ours.
func (s *Session) protocolError(reason commonv1.ErrorReason, message string) []Action {
	return s.fatal(closePolicyViolation, reason, message)
}

// codeOf is the gRPC code of a reason that ends sessions, as the comments of ErrorReason give it.
func codeOf(reason commonv1.ErrorReason) code.Code {
	switch reason {
	case commonv1.ErrorReason_ERROR_REASON_TOKEN_MISSING, commonv1.ErrorReason_ERROR_REASON_TOKEN_INVALID,
		commonv1.ErrorReason_ERROR_REASON_TOKEN_EXPIRED, commonv1.ErrorReason_ERROR_REASON_SESSION_REVOKED:
		return code.Code_UNAUTHENTICATED
	case commonv1.ErrorReason_ERROR_REASON_SCOPE_MISSING:
		return code.Code_PERMISSION_DENIED
	case commonv1.ErrorReason_ERROR_REASON_RATE_LIMITED, commonv1.ErrorReason_ERROR_REASON_SLOW_CONSUMER:
		return code.Code_RESOURCE_EXHAUSTED
	case commonv1.ErrorReason_ERROR_REASON_HEARTBEAT_TIMEOUT:
		return code.Code_DEADLINE_EXCEEDED
	case commonv1.ErrorReason_ERROR_REASON_HELLO_EXPECTED:
		return code.Code_FAILED_PRECONDITION
	case commonv1.ErrorReason_ERROR_REASON_DRAINING, commonv1.ErrorReason_ERROR_REASON_UNAVAILABLE:
		return code.Code_UNAVAILABLE
	case commonv1.ErrorReason_ERROR_REASON_INTERNAL:
		return code.Code_INTERNAL
	default:
		return code.Code_INVALID_ARGUMENT
	}
}
