package relay

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	worldv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/world/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"github.com/worldmesh/worldmesh/go_services/relay/history"
	"github.com/worldmesh/worldmesh/go_services/relay/store"
)

// lastWord is how long a relay that has given its rooms away takes to give its lease up, which is over by itself in a while.
const lastWord = 500 * time.Millisecond

// Run is the relay from its settings to its end.
func Run(ctx context.Context) error {
	cfg, err := kit.ParseConfig[Config]()
	if err != nil {
		return err
	}
	app, err := kit.NewApp(ctx, cfg.Config)
	if err != nil {
		return err
	}
	if cfg.RecordDir != "" {
		if err := os.MkdirAll(cfg.RecordDir, 0o700); err != nil {
			return err
		}
	}
	rooms, err := kit.NewRedisClient(cfg.RedisConfig, 2)
	if err != nil {
		return err
	}
	defer func() { _ = rooms.Close() }()
	// Where Redis is slow, rooms that write take all connections, and a relay that waited for one would lose its lease, and with
	// it the rooms, to which Redis answers.
	leases, err := kit.NewRedisClient(cfg.RedisConfig, 0)
	if err != nil {
		return err
	}
	defer func() { _ = leases.Close() }()
	h := register(app, cfg, store.NewRedis(rooms, leases))
	if cfg.HistoryDir != "" {
		if h.tenure.store, err = history.Record(cfg.HistoryDir, h.tenure.me, h.tenure.store, app.Log); err != nil {
			return err
		}
	}
	return app.Run(ctx)
}

// register adds the relay's parts to the app.
func register(app *kit.App, cfg Config, rooms store.Store) *hub {
	m := newMetrics(app.Registry)
	t := &tenure{
		me:    store.Owner{Relay: cfg.Instance, Incarnation: ulid.Make().String(), Address: cfg.address()},
		lease: cfg.Lease, store: rooms, log: app.Log,
		world: worldv1.NewWorldServiceClient(app.Mesh), relays: roomv1.NewRoomServiceClient(app.Mesh),
	}
	app.Registry.MustRegister(newEraGauge(t))
	ctx, cancel := context.WithCancel(context.Background())
	h := newHub(ctx, t, cfg.Hold, m, app.Log)
	h.recordings, h.wall = cfg.RecordDir, cfg.WallClock
	roomv1.RegisterRoomServiceServer(app.Server, &server{
		me: t.me, queueBytes: cfg.QueueBytes, hub: h, validator: app.Validator, metrics: m, log: app.Log,
	})
	app.ValidatesItself(&roomv1.AttachRequest{})
	app.BeforeReady(t.leased)
	var kept sync.WaitGroup
	for _, keep := range []func(context.Context) error{h.keepLease, h.keepRooms} {
		kept.Add(1)
		app.Go(func(context.Context) error {
			defer kept.Done()
			return keep(ctx) // until all rooms are given away: who has rooms holds a lease, or ends them
		})
	}
	app.OnDrain(func(drain context.Context) {
		h.drain(drain)
		cancel()
		kept.Wait()
		h.running.Wait()
		last, over := context.WithTimeout(context.WithoutCancel(drain), lastWord)
		defer over()
		t.leave(last)
	})
	return h
}
