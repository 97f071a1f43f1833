package presence

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	presencev1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/presence/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"github.com/worldmesh/worldmesh/go_services/presence/shard"
)

// Run is presence from its settings to its end.
func Run(ctx context.Context) error {
	cfg, err := kit.ParseConfig[Config]()
	if err != nil {
		return err
	}
	app, err := kit.NewApp(ctx, cfg.Config)
	if err != nil {
		return err
	}
	register(app, cfg)
	return app.Run(ctx)
}

func register(app *kit.App, cfg Config) *server {
	draining, drain := context.WithCancel(context.Background())
	s := &server{
		peers: presencev1.NewPresenceServiceClient(app.Mesh), draining: draining, watches: newWatches(cfg.WatchesPerUser),
	}
	changes := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "worldmesh_presence_changes_total", Help: "Changes of users' presence.",
	})
	app.Registry.MustRegister(changes)
	for i := range s.shards {
		s.shards[i] = newLiveShard(cfg.Lease, changes.Inc)
	}
	gauge(app.Registry, "worldmesh_presence_users", "Users who are online.", s.sum((*shard.Shard).Users))
	gauge(app.Registry, "worldmesh_presence_sessions", "Sessions of users.", s.sum((*shard.Shard).Sessions))
	presencev1.RegisterPresenceServiceServer(app.Server, s)
	app.Go(s.expire)
	app.OnDrain(func(context.Context) { drain() })
	return s
}

func gauge(registry prometheus.Registerer, name, help string, value func() float64) {
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
}

func (s *server) sum(count func(*shard.Shard) int) func() float64 {
	return func() float64 {
		total := 0
		for _, l := range s.shards {
			l.do(func(_ time.Time, core *shard.Shard) { total += count(core) })
		}
		return float64(total)
	}
}

// expireEvery bounds how late an ended lease is noticed.
const expireEvery = 250 * time.Millisecond

// expire ends the sessions of gateways that did not come back in time.
func (s *server) expire(ctx context.Context) error {
	ticker := time.NewTicker(expireEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			for _, l := range s.shards {
				l.do(func(now time.Time, core *shard.Shard) { core.Expire(now) })
			}
		}
	}
}
