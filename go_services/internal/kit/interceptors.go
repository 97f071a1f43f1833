package kit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"buf.build/go/protovalidate"
	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	optionsv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/options/v1"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// defaultDeadline bounds unary calls whose caller and contract set none.
const defaultDeadline = 10 * time.Second

// retryDelay is what callers are told to wait before they try again what may succeed then.
const retryDelay = 500 * time.Millisecond

// ownPackages is the prefix of methods that need a policy; health and reflection are not ours.
const ownPackages = "/worldmesh."

// guard is what stands before every handler: it names the caller, checks the policy and the message, bounds the
// time, turns errors into statuses, and counts.
type guard struct {
	policies  Policies
	validator protovalidate.Validator
	metrics   *rpcMetrics
	log       *slog.Logger
	// selfValidated are messages whose receiver checks their bounds itself: on hot streams each part is checked by
	// itself, so that one client's mistake does not end a stream that carries many.
	selfValidated map[protoreflect.FullName]bool
}

func (g *guard) unary(
	ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler,
) (resp any, err error) {
	start := time.Now()
	defer func() { observe(g.metrics.server, info.FullMethod, status.Code(err), start) }()
	defer g.finish(ctx, info.FullMethod, &err)

	policy, ctx, err := g.admit(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	if err := g.validate(req); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeoutOf(policy))
	defer cancel()
	return handler(ctx, req)
}

func (g *guard) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	start := time.Now()
	defer func() { observe(g.metrics.server, info.FullMethod, status.Code(err), start) }()
	defer g.finish(ss.Context(), info.FullMethod, &err)

	_, ctx, err := g.admit(ss.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	return handler(srv, &guardedStream{ServerStream: ss, ctx: ctx, guard: g})
}

// guardedStream validates what comes in and carries the caller.
type guardedStream struct {
	grpc.ServerStream
	ctx   context.Context
	guard *guard
}

func (s *guardedStream) Context() context.Context { return s.ctx }

func (s *guardedStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	return s.guard.validate(m)
}

func (g *guard) admit(ctx context.Context, fullMethod string) (*optionsv1.MethodPolicy, context.Context, error) {
	ctx = withCaller(ctx)
	if !strings.HasPrefix(fullMethod, ownPackages) {
		return nil, ctx, nil
	}
	policy := g.policies[fullMethod]
	if policy == nil {
		return nil, ctx, NewError(codes.PermissionDenied, commonv1.ErrorReason_ERROR_REASON_CALLER_NOT_ALLOWED,
			"the method has no policy in its contract")
	}
	return policy, ctx, authorize(policy, CallerOf(ctx))
}

// authorize checks what the token must hold. Which service may call at all, Envoy has checked already.
func authorize(policy *optionsv1.MethodPolicy, caller Caller) error {
	if policy.GetExposure() == optionsv1.Exposure_EXPOSURE_INTERNAL ||
		policy.GetExposure() == optionsv1.Exposure_EXPOSURE_PUBLIC {
		return nil
	}
	if caller.User.ID == "" {
		if slices.Contains(policy.GetCallers(), caller.Service) {
			return nil // a service that calls for itself
		}
		return NewError(codes.Unauthenticated, commonv1.ErrorReason_ERROR_REASON_TOKEN_MISSING,
			"the method needs an access token")
	}
	for _, scope := range policy.GetScopes() {
		if !caller.User.HasScope(scope) {
			return NewError(codes.PermissionDenied, commonv1.ErrorReason_ERROR_REASON_SCOPE_MISSING,
				"the access token lacks a scope", "scope", scope)
		}
	}
	return nil
}

func (g *guard) validate(m any) error {
	msg, ok := m.(proto.Message)
	if !ok {
		return nil
	}
	if g.selfValidated[msg.ProtoReflect().Descriptor().FullName()] {
		return nil
	}
	return ValidateMessage(g.validator, msg)
}

// ValidateMessage checks a message against the bounds in its contract; the error is INVALID_FIELD with one violation
// a field.
func ValidateMessage(v protovalidate.Validator, m proto.Message) error {
	err := v.Validate(m)
	if err == nil {
		return nil
	}
	var invalid *protovalidate.ValidationError
	if !errors.As(err, &invalid) {
		return fmt.Errorf("validate %s: %w", m.ProtoReflect().Descriptor().FullName(), err)
	}
	fields := make([]*errdetails.BadRequest_FieldViolation, 0, len(invalid.Violations))
	for _, v := range invalid.Violations {
		fields = append(fields, &errdetails.BadRequest_FieldViolation{
			Field:       protovalidate.FieldPathString(v.Proto.GetField()),
			Description: v.Proto.GetMessage(),
		})
	}
	e := NewError(codes.InvalidArgument, commonv1.ErrorReason_ERROR_REASON_INVALID_FIELD, inWords(fields))
	e.Fields = fields
	return e
}

// inWords is the first violation, for people: not all who see the message see the details.
func inWords(fields []*errdetails.BadRequest_FieldViolation) string {
	if len(fields) == 0 {
		return "a field is out of its bounds"
	}
	return strings.TrimPrefix(fields[0].GetField()+": "+fields[0].GetDescription(), ": ")
}

func timeoutOf(policy *optionsv1.MethodPolicy) time.Duration {
	if d := policy.GetTimeout().AsDuration(); d > 0 {
		return d
	}
	return defaultDeadline
}

// finish turns whatever a handler ended with, a panic included, into what a caller may see.
func (g *guard) finish(ctx context.Context, fullMethod string, err *error) {
	if p := recover(); p != nil {
		g.log.ErrorContext(ctx, "handler panicked", "method", fullMethod, "panic", p, "stack", string(debug.Stack()))
		*err = internalError(ctx)
		return
	}
	*err = g.outward(ctx, fullMethod, *err)
}

func (g *guard) outward(ctx context.Context, fullMethod string, err error) error {
	var own *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &own):
		return own
	case errors.Is(err, context.DeadlineExceeded):
		return NewError(codes.DeadlineExceeded, commonv1.ErrorReason_ERROR_REASON_DEADLINE_EXCEEDED, "the deadline passed")
	case errors.Is(err, context.Canceled):
		return status.FromContextError(err).Err()
	}
	if st, ok := status.FromError(err); ok && st.Code() != codes.Unknown {
		return st.Err() // of another service, with its reason, or of grpc-go itself
	}
	g.log.ErrorContext(ctx, "call failed", "method", fullMethod, "error", err.Error())
	return internalError(ctx)
}

func internalError(ctx context.Context) *Error {
	return NewError(codes.Internal, commonv1.ErrorReason_ERROR_REASON_INTERNAL,
		"internal error", "trace_id", trace.SpanContextFromContext(ctx).TraceID().String())
}

// Unavailable is for a part that does not answer right now.
func Unavailable(message string) *Error {
	return NewError(codes.Unavailable, commonv1.ErrorReason_ERROR_REASON_UNAVAILABLE, message).After(retryDelay)
}
