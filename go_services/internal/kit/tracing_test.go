package kit

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"

	"go.opentelemetry.io/otel"
)

func TestSpansThatCanNotBeExportedAreALineOfTheLog(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1") // nobody listens there
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "200")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
	lines := make(chan []byte, 10)
	cfg := Config{Service: "relay", Instance: "relay-0", LogLevel: "info", OTLPEndpoint: "http://127.0.0.1:1"}
	log, err := NewLogger(writerFunc(func(line []byte) { lines <- bytes.Clone(line) }), cfg)
	if err != nil {
		t.Fatal(err)
	}
	flush, err := startTracing(context.Background(), cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	defer flushTraces(flush)
	_, span := otel.Tracer("test").Start(context.Background(), "lost")
	span.End()
	var line map[string]any
	if err := json.Unmarshal(<-lines, &line); err != nil {
		t.Fatal(err)
	}
	if line["msg"] != "telemetry" || line["error"] == "" || line["instance"] != "relay-0" {
		t.Errorf("the line is %v", line)
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}
