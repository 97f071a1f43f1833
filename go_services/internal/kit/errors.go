package kit

import (
	"context"
	"errors"
	"strings"
	"time"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

// errorDomain is the domain of every ErrorInfo of ours.
const errorDomain = "worldmesh"

const reasonPrefix = "ERROR_REASON_"

// Error is an error with a stable reason, as it goes to callers.
type Error struct {
	// Code is the gRPC status code.
	Code codes.Code
	// Reason is what programs look at.
	Reason commonv1.ErrorReason
	// Message is for people. It never holds secrets or internals.
	Message string
	// Metadata goes into the ErrorInfo.
	Metadata map[string]string
	// RetryAfter tells the caller when to try again; zero: nothing is said.
	RetryAfter time.Duration
	// Fields goes into BadRequest.
	Fields []*errdetails.BadRequest_FieldViolation
}

// NewError makes an Error. Metadata is pairs of key and value.
func NewError(code codes.Code, reason commonv1.ErrorReason, message string, metadata ...string) *Error {
	e := &Error{Code: code, Reason: reason, Message: message}
	for i := 0; i+1 < len(metadata); i += 2 {
		if e.Metadata == nil {
			e.Metadata = make(map[string]string, len(metadata)/2)
		}
		e.Metadata[metadata[i]] = metadata[i+1]
	}
	return e
}

// After sets RetryAfter.
func (e *Error) After(d time.Duration) *Error {
	e.RetryAfter = d
	return e
}

func (e *Error) Error() string { return ReasonName(e.Reason) + ": " + e.Message }

// GRPCStatus is how grpc-go turns the error into what goes over the wire.
func (e *Error) GRPCStatus() *status.Status {
	st := status.New(e.Code, e.Message)
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{
		Reason: ReasonName(e.Reason), Domain: errorDomain, Metadata: e.Metadata,
	}}
	if len(e.Fields) > 0 {
		details = append(details, &errdetails.BadRequest{FieldViolations: e.Fields})
	}
	if e.RetryAfter > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(e.RetryAfter)})
	}
	if detailed, err := st.WithDetails(details...); err == nil {
		return detailed
	}
	return st
}

// ReasonName is the reason as it stands in ErrorInfo and in error frames: without the enum's prefix.
func ReasonName(r commonv1.ErrorReason) string { return strings.TrimPrefix(r.String(), reasonPrefix) }

// ReasonOf finds the reason in an error of ours or in one that came over the wire. Errors without a reason of ours
// get the one that fits their code.
func ReasonOf(err error) commonv1.ErrorReason {
	var own *Error
	if errors.As(err, &own) {
		return own.Reason
	}
	st := StatusOf(err)
	for _, d := range st.Details() {
		info, ok := d.(*errdetails.ErrorInfo)
		if !ok || info.GetDomain() != errorDomain {
			continue
		}
		if r, ok := commonv1.ErrorReason_value[reasonPrefix+info.GetReason()]; ok {
			return commonv1.ErrorReason(r)
		}
	}
	return reasonOfCode(st.Code())
}

// StatusOf is the gRPC status of any error.
func StatusOf(err error) *status.Status {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return status.FromContextError(err)
	}
	return status.Convert(err)
}

func reasonOfCode(code codes.Code) commonv1.ErrorReason {
	switch code {
	case codes.Unavailable, codes.Canceled, codes.Aborted:
		return commonv1.ErrorReason_ERROR_REASON_UNAVAILABLE
	case codes.DeadlineExceeded:
		return commonv1.ErrorReason_ERROR_REASON_DEADLINE_EXCEEDED
	case codes.ResourceExhausted:
		return commonv1.ErrorReason_ERROR_REASON_RATE_LIMITED
	case codes.Unauthenticated:
		return commonv1.ErrorReason_ERROR_REASON_TOKEN_INVALID
	case codes.PermissionDenied:
		return commonv1.ErrorReason_ERROR_REASON_CALLER_NOT_ALLOWED
	case codes.InvalidArgument:
		return commonv1.ErrorReason_ERROR_REASON_INVALID_FIELD
	case codes.Unimplemented:
		return commonv1.ErrorReason_ERROR_REASON_METHOD_NOT_FOUND
	default:
		return commonv1.ErrorReason_ERROR_REASON_INTERNAL
	}
}
