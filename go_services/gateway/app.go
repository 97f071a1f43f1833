package gateway

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	gatewayv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/gateway/v1"
	identityv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/identity/v1"
	presencev1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/presence/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	worldv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/world/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/session"
	"github.com/worldmesh/worldmesh/go_services/gateway/socket"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"google.golang.org/grpc"
)

// largeMessages bounds the memory of large messages that are being read, over all sockets.
const largeMessages = 32 << 20

// gcPercent is how much the heap may grow between two collections. Most of it is idle sockets that live long, and what
// is made per frame is little, so collecting twice as often as Go would costs about a hundredth of the CPU and saves a
// fifth of the memory a socket. GOGC overrides it.
const gcPercent = 50

// Run is the gateway from its settings to its end.
func Run(ctx context.Context) error {
	cfg, err := kit.ParseConfig[Config]()
	if err != nil {
		return err
	}
	if err := cfg.Validate(); err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	app, err := kit.NewApp(ctx, cfg.Config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := complete(ctx, cancel, app, cfg); err != nil {
		return err
	}
	return app.Run(ctx)
}

// complete makes the gateway's parts and adds them to the app. The context is the life of the rooms' streams: it ends
// after the sockets have been drained.
func complete(ctx context.Context, cancel context.CancelFunc, app *kit.App, cfg Config) error {
	g, err := newGateway(ctx, app.Mesh, app.Registry, app.Log, cfg)
	if err != nil {
		return err
	}
	gatewayv1.RegisterGatewayServiceServer(app.Server, &server{gateway: g})
	app.BeforeReady(g.tokens.keys.prime)
	g.startParts()
	app.OnDrain(func(drain context.Context) {
		g.drain(drain)
		cancel()
		g.running.Wait()
	})
	return listen(app, cfg, g)
}

func newGateway(
	ctx context.Context, mesh grpc.ClientConnInterface, registry prometheus.Registerer, log *slog.Logger, cfg Config,
) (*Gateway, error) {
	calls, err := newCaller(mesh, cfg.DescriptorSet)
	if err != nil {
		return nil, err
	}
	identity := identityv1.NewIdentityServiceClient(mesh)
	limits := session.DefaultLimits()
	limits.Heartbeat = cmp.Or(cfg.Heartbeat, limits.Heartbeat)
	cfg.MaxSockets = boundedSockets(cfg.MaxSockets, log)
	turns := socket.NewTurns(runtime.GOMAXPROCS(0))
	g := &Gateway{
		cfg: cfg, limits: limits, log: log, metrics: newMetrics(registry, turns), ctx: ctx,
		entries:  newEntries(worldv1.NewWorldServiceClient(mesh)),
		relays:   roomv1.NewRoomServiceClient(mesh),
		revoked:  newRevocations(identity, log),
		caller:   calls,
		presence: newPresence(presencev1.NewPresenceServiceClient(mesh), cfg.Instance, log),
		outage:   newOutage[*attachment]("room stream", log),
		large:    socket.NewBudget(largeMessages),
		turns:    turns,
		linger:   linger,
		giveUp:   giveUpTime,
		clients:  map[*client]struct{}{}, sessions: map[string][]*client{}, attachments: map[string]*attachment{},
	}
	g.watch = newRelayWatch(ctx, &g.running, g.relays, log)
	g.tokens = newTokens(identity, g.revoked, turns)
	g.revoked.onRevoke = g.revoke
	return g, nil
}

func listen(app *kit.App, cfg Config, g *Gateway) error {
	pair, err := kit.LoadKeyPair(cfg.TLSCert, cfg.TLSKey)
	if err != nil {
		return fmt.Errorf("WORLDMESH_GATEWAY_TLS_CERT: %w", err)
	}
	addresses := socket.NewAddresses(cfg.SocketsPerAddress, cfg.Proxies)
	if err := listenOn(app, g, addresses, "WORLDMESH_GATEWAY_WSS_ADDR", cfg.WSSAddr, pair.ServerTLS()); err != nil {
		return err
	}
	if cfg.WSAddr == "" {
		return nil
	}
	return listenOn(app, g, addresses, "WORLDMESH_GATEWAY_WS_ADDR", cfg.WSAddr, nil)
}

func listenOn(
	app *kit.App, g *Gateway, addresses *socket.Addresses, setting, addr string, config *tls.Config,
) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("%s: %w", setting, err)
	}
	l := g.listener(config)
	l.Addresses = addresses
	app.Go(func(ctx context.Context) error { return l.Run(ctx, listener) })
	return nil
}
