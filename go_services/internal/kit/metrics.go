package kit

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc/codes"
)

// rpcBuckets are the bounds, in seconds, that OpenTelemetry's conventions advise for RPCs, with two finer ones.
var rpcBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// rpcMetrics are rate, errors and duration of RPCs, by method and status.
type rpcMetrics struct {
	server, client *prometheus.HistogramVec
}

func newRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return registry
}

func newRPCMetrics(registry prometheus.Registerer) *rpcMetrics {
	labels := []string{"rpc_method", "rpc_grpc_status_code"}
	m := &rpcMetrics{
		server: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "rpc_server_call_duration_seconds", Help: "Duration of calls that were served.", Buckets: rpcBuckets,
		}, labels),
		client: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "rpc_client_call_duration_seconds", Help: "Duration of calls that were made.", Buckets: rpcBuckets,
		}, labels),
	}
	registry.MustRegister(m.server, m.client)
	return m
}

// observe names a status as its specification does, NOT_FOUND: codes.Code writes NotFound, as no other language does.
func observe(h *prometheus.HistogramVec, fullMethod string, status codes.Code, start time.Time) {
	h.WithLabelValues(fullMethod[1:], code.Code(status).String()).Observe(time.Since(start).Seconds())
}
