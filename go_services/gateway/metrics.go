package gateway

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
)

type metrics struct {
	sockets *prometheus.GaugeVec
	frames  *prometheus.CounterVec
	drops   *prometheus.CounterVec
	closes  *prometheus.CounterVec
	rooms   prometheus.Gauge
	// delivered counts frames written to sockets, by dialect, without a look-up a frame.
	delivered [dialect.Count]prometheus.Counter
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{
		sockets: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "worldmesh_gateway_sockets", Help: "Open sockets.",
		}, []string{"dialect"}),
		frames: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "worldmesh_gateway_frames_total", Help: "Frames of clients (in) and to clients (out).",
		}, []string{"direction", "kind"}),
		drops: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "worldmesh_gateway_queue_drops_total", Help: "Frames not sent because the client reads too slowly.",
		}, []string{"channel"}),
		closes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "worldmesh_gateway_closes_total", Help: "Sockets that the gateway closed.",
		}, []string{"code"}),
		rooms: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "worldmesh_gateway_rooms", Help: "Rooms that the gateway is attached to.",
		}),
	}
	registry.MustRegister(m.sockets, m.frames, m.drops, m.closes, m.rooms)
	for d := range m.delivered {
		m.delivered[d] = m.frames.WithLabelValues("out", "room_"+dialect.Dialect(d).String())
	}
	return m
}

func (m *metrics) closed(code uint16) { m.closes.WithLabelValues(strconv.Itoa(int(code))).Inc() }
