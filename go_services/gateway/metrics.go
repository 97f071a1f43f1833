package gateway

import (
	"strconv"
	"strings"
	"unicode"

	"github.com/prometheus/client_golang/prometheus"
	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
	gatewayv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/gateway/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
	"github.com/worldmesh/worldmesh/go_services/gateway/socket"
)

// What is not sent, and what ends by a panic, in the metrics.
const (
	droppedState   = "state"
	droppedOrdered = "ordered"
	droppedBroken  = "broken"
	panickedSocket = "socket"
	panickedRoom   = "room"
)

// bodies is how many kinds of server frames there are, NONE included.
const bodies = int(clientv1.ServerBodyRoster) + 1

type metrics struct {
	sockets [dialect.Count]prometheus.Gauge
	frames  *prometheus.CounterVec
	drops   *prometheus.CounterVec
	closes  *prometheus.CounterVec
	rooms   prometheus.Gauge
	batches prometheus.Counter
	// stepDrops are on the way to relays; stateDrops, below, on the way to clients.
	stepDrops prometheus.Counter

	reattachments *prometheus.CounterVec
	staleEpochs   prometheus.Counter
	panics        *prometheus.CounterVec
	// These are looked up once, not once a frame.
	sent       [bodies]prometheus.Counter
	received   map[string]prometheus.Counter // by the kind of client frame; `bad` for what is none
	stateDrops prometheus.Counter
}

func newMetrics(registry prometheus.Registerer, turns *socket.Turns) *metrics {
	sockets := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "worldmesh_gateway_sockets", Help: "Open sockets.",
	}, []string{"dialect"})
	m := &metrics{
		frames: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "worldmesh_gateway_frames_total", Help: "Frames of clients (in) and to clients (out).",
		}, []string{"direction", "kind"}),
		drops: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "worldmesh_gateway_queue_drops_total", Help: "Frames not sent: state and ordered, because the client reads too slowly; broken, because they could not be read.",
		}, []string{"channel"}),
		closes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "worldmesh_gateway_closes_total", Help: "Sockets that ended, by close code; 1006 if without one.",
		}, []string{"code"}),
		rooms: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "worldmesh_gateway_rooms", Help: "Rooms that the gateway is attached to.",
		}),
		batches: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "worldmesh_gateway_batches_total", Help: "Messages to relays, each with what members did meanwhile.",
		}),
	}
	m.stepDrops = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "worldmesh_gateway_steps_dropped_total",
		Help: "Steps of clients that were not sent, for there were newer ones while their room's relay took none.",
	})
	m.reattachments = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "worldmesh_gateway_reattachments_total",
		Help: "Streams of rooms that ended while members were in: the room has moved, or its relay was lost.",
	}, []string{"why"})
	m.staleEpochs = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "worldmesh_gateway_stale_epochs_total",
		Help: "Streams not taken, for their relay did not know that it had lost the room: its epoch was over.",
	})
	m.panics = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "worldmesh_gateway_panics_total",
		Help: "Defects of the gateway that were contained, by what ended: a socket, or a room at this gateway.",
	}, []string{"at"})
	waiting := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "worldmesh_gateway_turns_waiting",
		Help: "Who waits for the processor, to be let in: accepted, for a TLS handshake, or with a token.",
	}, func() float64 { return float64(turns.Waiting()) })
	registry.MustRegister(sockets, waiting, m.frames, m.drops, m.closes, m.rooms, m.batches, m.stepDrops, m.reattachments,
		m.staleEpochs, m.panics)
	m.begin()
	for d := range m.sockets {
		m.sockets[d] = sockets.WithLabelValues(dialect.Dialect(d).String())
	}
	for b := range m.sent {
		m.sent[b] = m.frames.WithLabelValues("out", kindOf(clientv1.ServerBody(b).String()))
	}
	m.received = map[string]prometheus.Counter{"bad": m.frames.WithLabelValues("in", "bad")}
	for _, name := range clientv1.EnumNamesClientBody {
		kind := kindOf(name)
		m.received[kind] = m.frames.WithLabelValues("in", kind)
	}
	m.stateDrops = m.drops.WithLabelValues(droppedState)
	return m
}

// begin has counters be there from the beginning: how much one rises does not count its first value.
func (m *metrics) begin() {
	for code := range gatewayv1.CloseCode_name {
		if code != 0 {
			m.closesWith(uint16(code))
		}
	}
	for _, code := range []uint16{
		socket.CloseNormal, socket.CloseProtocol, closeGone, socket.CloseNotUTF8, socket.ClosePolicy, socket.CloseTooLarge, socket.CloseInternal,
	} {
		m.closesWith(code)
	}
	for _, channel := range []string{droppedState, droppedOrdered, droppedBroken} {
		m.drops.WithLabelValues(channel)
	}
	for _, why := range []string{endMoved, endLost} {
		m.reattachments.WithLabelValues(why)
	}
	for _, at := range []string{panickedSocket, panickedRoom} {
		m.panics.WithLabelValues(at)
	}
}

// kindOf is a kind of frame as it is called in JSON: `StateBatch` is `state_batch`.
func kindOf(name string) string {
	var b strings.Builder
	for i, r := range name {
		if i > 0 && unicode.IsUpper(r) && unicode.IsLower(rune(name[i-1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

func (m *metrics) closed(code uint16) { m.closesWith(code).Inc() }

func (m *metrics) closesWith(code uint16) prometheus.Counter {
	return m.closes.WithLabelValues(strconv.Itoa(int(code)))
}
