package relay

import (
	"github.com/prometheus/client_golang/prometheus"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
)

type metrics struct {
	rooms      prometheus.Gauge
	leaving    prometheus.Gauge
	members    prometheus.Gauge
	deliveries map[roomv1.Channel]prometheus.Counter // looked up once, not once a frame
	inputs     *prometheus.CounterVec
	steps      prometheus.Counter // of inputs
	drops      prometheus.Counter
	held       prometheus.Counter
	tickTime   prometheus.Histogram
	slowed     prometheus.Gauge
	slowdowns  prometheus.Counter
	tickLag    prometheus.Histogram

	claims         *prometheus.CounterVec
	ends           *prometheus.CounterVec
	appendTime     prometheus.Histogram
	appendFailures prometheus.Counter
}

func newMetrics(registry prometheus.Registerer) *metrics {
	deliveries := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "worldmesh_relay_deliveries_total", Help: "Frames handed to gateways, once a gateway.",
	}, []string{"channel"})
	m := &metrics{
		rooms: prometheus.NewGauge(prometheus.GaugeOpts{Name: "worldmesh_relay_rooms", Help: "Live rooms."}),
		leaving: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "worldmesh_relay_rooms_leaving", Help: "Live rooms that are being given up, or away to another relay.",
		}),
		members: prometheus.NewGauge(prometheus.GaugeOpts{Name: "worldmesh_relay_members", Help: "Members of live rooms."}),
		inputs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "worldmesh_relay_inputs_total", Help: "Inputs of members.",
		}, []string{"kind"}),
		drops: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "worldmesh_relay_state_replaced_total",
			Help: "State frames that were replaced by a newer one before their gateway took them.",
		}),
		held: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "worldmesh_relay_views_held_total",
			Help: "Ticks of full rooms that showed a gateway nothing, for it had not taken what it was shown before.",
		}),
		tickTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "worldmesh_relay_tick_seconds", Help: "How long ticks took.",
			Buckets: []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1},
		}),
		slowed: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "worldmesh_relay_rooms_slowed", Help: "Rooms that tick more slowly than they should, for they cost too much.",
		}),
		slowdowns: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "worldmesh_relay_slowdowns_total", Help: "How often a room halved its ticks, for it cost too much.",
		}),
		tickLag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "worldmesh_relay_tick_lag_seconds", Help: "How late ticks ran for what had come; up to 10 ms of it they wait for gateways by which members walk.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1},
		}),
	}
	m.steps = m.inputs.WithLabelValues("state")
	m.claims = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "worldmesh_relay_claims_total",
		Help: "Claims of rooms: granted, stolen from a relay that does not answer, moved (another owns it), again, failed.",
	}, []string{"outcome"})
	m.ends = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "worldmesh_relay_room_ends_total",
		Help: "Rooms that ended here: idle, drained, rebalanced, panicked, or lost: fenced, taken, lease lost.",
	}, []string{"why"})
	m.appendTime = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "worldmesh_relay_append_seconds", Help: "How long a room's log took to be appended to.",
		Buckets: []float64{.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1},
	})
	m.appendFailures = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "worldmesh_relay_append_failures_total", Help: "Appends to a room's log that failed, and were tried again.",
	})
	m.deliveries = map[roomv1.Channel]prometheus.Counter{}
	for number := range roomv1.Channel_name {
		channel := roomv1.Channel(number)
		m.deliveries[channel] = deliveries.WithLabelValues(channelName(channel))
	}
	for _, outcome := range claimOutcomes { // from the beginning: how much a counter rises does not count its first value
		m.claims.WithLabelValues(outcome)
	}
	for _, why := range endReasons {
		m.ends.WithLabelValues(why)
	}
	registry.MustRegister(m.rooms, m.leaving, m.members, deliveries, m.inputs, m.drops, m.tickLag)
	registry.MustRegister(m.held, m.tickTime, m.slowed, m.slowdowns)
	registry.MustRegister(m.claims, m.ends, m.appendTime, m.appendFailures)
	return m
}

// newEraGauge tells the era that a relay is in: all of them are in the same, but for moments.
func newEraGauge(t *tenure) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "worldmesh_relay_era", Help: "The era in which this relay claims rooms; it moves on whenever Redis may have forgotten something.",
	}, func() float64 { return float64(t.currentEra()) })
}
