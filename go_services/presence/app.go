package presence

import (
	"context"
	"os"
	"runtime/debug"
	"time"

	"github.com/oklog/ulid/v2"
	presencev1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/presence/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"github.com/worldmesh/worldmesh/go_services/presence/shard"
)

// gcPercent lets the heap grow by a quarter between collections, and not by as much again: what presence holds has hardly
// a pointer to follow, so collections are cheap. GOGC goes before.
const gcPercent = 25

// Run is presence from its settings to its end.
func Run(ctx context.Context) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
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
		incarnation: ulid.Make().String(), validator: app.Validator, log: app.Log,
	}
	for i := range s.shards {
		s.shards[i] = &liveShard{number: uint32(i), cfg: shard.Config{Lease: cfg.Lease, Settle: cfg.Settle}}
	}
	s.register(app.Registry)
	presencev1.RegisterPresenceServiceServer(app.Server, s)
	app.ValidatesItself(&presencev1.AttachRequest{}) // see inBounds
	app.Go(s.expire)
	app.Go(s.verify)
	app.OnDrain(func(context.Context) { drain() })
	return s
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
				if h := l.holding(); h != nil {
					h.expire()
				}
			}
		}
	}
}
