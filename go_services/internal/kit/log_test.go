package kit

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"

	"go.opentelemetry.io/otel/trace"
)

func TestALogLineNamesServiceInstanceAndTrace(t *testing.T) {
	var out bytes.Buffer
	log, err := NewLogger(&out, Config{Service: "relay", Instance: "relay-0", LogLevel: "info"})
	if err != nil {
		t.Fatal(err)
	}
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	log.Debug("not shown")
	log.InfoContext(trace.ContextWithSpanContext(context.Background(), span), "hello")
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	for key, want := range map[string]string{
		"msg": "hello", "level": "info", "service": "relay", "instance": "relay-0",
		"trace_id": span.TraceID().String(), "span_id": span.SpanID().String(),
	} {
		if line[key] != want {
			t.Errorf("%s is %v, not %s", key, line[key], want)
		}
	}
}

func TestAnUnknownLogLevelIsRefused(t *testing.T) {
	for _, level := range []string{"loud", "INFO", "warning", "info+1", ""} {
		if _, err := NewLogger(&bytes.Buffer{}, Config{LogLevel: level}); err == nil {
			t.Errorf("%q was taken", level)
		}
	}
}
