package presence

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/worldmesh/worldmesh/go_services/presence/shard"
)

func (s *server) register(registry prometheus.Registerer) {
	gauge := func(name, help string, count func(*shard.Shard) int) {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, s.sum(count)))
	}
	counter := func(name, help string, count func(shard.Counts) uint64) {
		registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, s.counted(count)))
	}
	gauge("worldmesh_presence_users", "Users who are online.", (*shard.Shard).Users)
	gauge("worldmesh_presence_sessions", "Sessions of users.", (*shard.Shard).Sessions)
	counter("worldmesh_presence_changes_total", "Changes of users' presence.",
		func(c shard.Counts) uint64 { return c.Changes })
	counter("worldmesh_presence_changes_merged_total", "Changes that a watch has not seen, for a newer one took their place.",
		func(c shard.Counts) uint64 { return c.Merged })
	registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "worldmesh_presence_changes_refused_total", Help: "Changes of gateways that are against the contract.",
	}, func() float64 { return float64(s.refused.Load()) }))
}

func (s *server) sum(count func(*shard.Shard) int) func() float64 {
	return func() float64 {
		total := 0
		for _, l := range s.shards {
			if h := l.holding(); h != nil {
				h.do(func(_ time.Time, core *shard.Shard) { total += count(core) })
			}
		}
		return float64(total)
	}
}

func (s *server) counted(count func(shard.Counts) uint64) func() float64 {
	return func() float64 {
		var total shard.Counts
		for _, l := range s.shards {
			total = total.Plus(l.counts())
		}
		return float64(count(total))
	}
}
