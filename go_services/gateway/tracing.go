package gateway

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

var tracer = otel.Tracer("github.com/worldmesh/worldmesh/go_services/gateway")

// traced says which frames have spans of their own: those that are not sent many times a second.
func traced(kind string) bool { return kind != "move" && kind != "ping" }

func startSpan(ctx context.Context, kind, sessionID string) (context.Context, trace.Span) {
	return tracer.Start(ctx, "client "+kind, trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("worldmesh.gateway_session_id", sessionID)))
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
