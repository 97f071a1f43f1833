package kit

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
)

// telemetry is what services say of themselves alike in all languages.
type telemetry struct {
	LogLevels   []string `json:"log_levels"`
	LogFields   []string `json:"log_fields"`
	StatusCodes []string `json:"status_codes"`
}

func readTelemetry(t *testing.T) telemetry {
	t.Helper()
	data, err := os.ReadFile("../../../tests/contract/telemetry.json")
	if err != nil {
		t.Fatal(err)
	}
	var names telemetry
	if err := json.Unmarshal(data, &names); err != nil {
		t.Fatal(err)
	}
	return names
}

func TestMetricsNameStatusesAsInOtherLanguages(t *testing.T) {
	names := readTelemetry(t)
	registry := prometheus.NewRegistry()
	metrics := newRPCMetrics(registry)
	for c := range names.StatusCodes {
		observe(metrics.server, "/worldmesh.room.v1.RoomService/GetLiveRoom", codes.Code(c), time.Now())
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, metric := range families[0].GetMetric() {
		for _, label := range metric.GetLabel() {
			if label.GetName() == "rpc_grpc_status_code" {
				got = append(got, label.GetValue())
			}
		}
	}
	slices.Sort(got)
	if want := slices.Sorted(slices.Values(names.StatusCodes)); !slices.Equal(got, want) {
		t.Fatalf("%v, not %v", got, want)
	}
}

func TestLogLinesHaveTheFieldsAndLevelsOfOtherLanguages(t *testing.T) {
	names := readTelemetry(t)
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	ctx := trace.ContextWithSpanContext(context.Background(), span)
	for i, level := range names.LogLevels {
		var out bytes.Buffer
		log, err := NewLogger(&out, Config{Service: "relay", Instance: "relay-0", LogLevel: level})
		if err != nil {
			t.Fatal(err)
		}
		log.DebugContext(ctx, "hello")
		log.InfoContext(ctx, "hello")
		log.WarnContext(ctx, "hello")
		log.ErrorContext(ctx, "hello")
		var got []string
		for line := range bytes.Lines(out.Bytes()) {
			var fields map[string]any
			if err := json.Unmarshal(line, &fields); err != nil {
				t.Fatal(err)
			}
			got = append(got, fields["level"].(string))
			if keys := slices.Sorted(maps.Keys(fields)); !slices.Equal(keys, slices.Sorted(slices.Values(names.LogFields))) {
				t.Errorf("the fields are %v", keys)
			}
		}
		if !slices.Equal(got, names.LogLevels[i:]) {
			t.Errorf("with %s the log has %v", level, got)
		}
	}
}
