package relay

import (
	"context"

	"github.com/oklog/ulid/v2"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
)

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
	register(app, cfg, NewHashOwnership())
	return app.Run(ctx)
}

func register(app *kit.App, cfg Config, ownership Ownership) {
	m := newMetrics(app.Registry)
	h := newHub(ownership, m)
	roomv1.RegisterRoomServiceServer(app.Server, &server{
		relayID: cfg.Instance, incarnation: ulid.Make().String(), queueBytes: cfg.QueueBytes, hub: h,
		validator: app.Validator, metrics: m, log: app.Log,
	})
	app.ValidatesItself(&roomv1.AttachRequest{})
	app.OnDrain(func(context.Context) { h.drain() })
}
