package kit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"buf.build/go/protovalidate"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// App is a service: its server, its channel to the mesh, its telemetry. Register services on Server, add what else
// runs with Go and OnDrain, then Run.
type App struct {
	Config    Config
	Log       *slog.Logger
	Registry  *prometheus.Registry
	Server    *grpc.Server
	Mesh      *grpc.ClientConn
	Policies  Policies
	Validator protovalidate.Validator

	identity  *identity
	guard     *guard
	health    *health.Server
	ready     atomic.Bool
	admin     *http.Server
	listeners struct{ grpc, admin net.Listener }
	gates     []func(context.Context) error
	tasks     []func(context.Context) error
	drains    []func(context.Context)
	closers   []func()
}

var errClockOffset = errors.New("settings: WORLDMESH_CLOCK_OFFSET_SECONDS: is for tests only")

// NewApp opens everything in order; whatever was opened is closed again if a later part fails.
func NewApp(ctx context.Context, cfg Config) (app *App, err error) {
	if cfg.Environment == Production && cfg.ClockOffset != 0 {
		return nil, errClockOffset
	}
	app = &App{Config: cfg, Policies: LoadPolicies(protoregistry.GlobalFiles), Registry: newRegistry()}
	defer func() {
		if err != nil {
			app.close()
		}
	}()
	if app.Log, err = NewLogger(os.Stdout, cfg); err != nil {
		return app, err
	}
	flush, err := startTracing(ctx, cfg, app.Log)
	if err != nil {
		return app, err
	}
	app.onClose(func() { flushTraces(flush) })
	if app.identity, err = loadIdentity(cfg.TLSDir); err != nil {
		return app, err
	}
	if app.Validator, err = protovalidate.New(); err != nil {
		return app, fmt.Errorf("start validation: %w", err)
	}
	metrics := newRPCMetrics(app.Registry)
	if app.Mesh, err = dialMesh(cfg.MeshAddr, app.identity, metrics); err != nil {
		return app, err
	}
	app.onClose(func() { _ = app.Mesh.Close() })
	if err = app.listen(); err != nil {
		return app, err
	}
	app.admin = newAdmin(app.Registry, &app.ready)
	app.guard = &guard{
		policies: app.Policies, validator: app.Validator, metrics: metrics, log: app.Log,
		selfValidated: map[protoreflect.FullName]bool{},
	}
	app.Server = newServer(app.identity, app.guard)
	app.health = health.NewServer()
	healthv1.RegisterHealthServer(app.Server, app.health)
	reflection.Register(app.Server)
	return app, nil
}

func newServer(id *identity, g *guard) *grpc.Server {
	return grpc.NewServer(
		grpc.Creds(id.credentials()),
		grpc.InitialWindowSize(streamWindow),
		grpc.InitialConnWindowSize(connectionWindow),
		grpc.StatsHandler(otelgrpc.NewServerHandler()),
		grpc.ChainUnaryInterceptor(g.unary),
		grpc.ChainStreamInterceptor(g.stream),
		grpc.MaxRecvMsgSize(4<<20),
		grpc.MaxConcurrentStreams(10_000),
		// A proxy whose machine or network is gone ends no stream: presence and rooms would hold those who came by it for present.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 5 * time.Second, Timeout: 3 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	)
}

func (a *App) listen() (err error) {
	if a.listeners.grpc, err = net.Listen("tcp", a.Config.GRPCAddr); err != nil {
		return fmt.Errorf("WORLDMESH_GRPC_ADDR: %w", err)
	}
	a.onClose(func() { _ = a.listeners.grpc.Close() })
	if a.listeners.admin, err = net.Listen("tcp", a.Config.AdminAddr); err != nil {
		return fmt.Errorf("WORLDMESH_ADMIN_ADDR: %w", err)
	}
	a.onClose(func() { _ = a.listeners.admin.Close() })
	return nil
}

// ValidatesItself says that the service checks the bounds of messages like m, so that the interceptor need not.
// Call it before Run.
func (a *App) ValidatesItself(m proto.Message) {
	a.guard.selfValidated[m.ProtoReflect().Descriptor().FullName()] = true
}

// Go adds a task that runs as long as the service does. If it fails, the service stops.
func (a *App) Go(task func(context.Context) error) { a.tasks = append(a.tasks, task) }

// BeforeReady adds what must have happened before the service says that it is ready: it should try until ctx ends.
func (a *App) BeforeReady(gate func(context.Context) error) { a.gates = append(a.gates, gate) }

// OnDrain adds what is to be done between the end of readiness and the end of the server. Its context ends with the
// drain time.
func (a *App) OnDrain(drain func(context.Context)) { a.drains = append(a.drains, drain) }

// Run serves until ctx ends, SIGTERM or SIGINT comes, or a part fails; then it drains.
func (a *App) Run(ctx context.Context) error {
	defer a.close()
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer stop()
	signal.Ignore(syscall.SIGPIPE) // a service lives on when whoever reads its log is gone: Go would end it at the next line

	a.tellHealth(healthv1.HealthCheckResponse_NOT_SERVING)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return ignoreClosed(a.admin.Serve(a.listeners.admin)) })
	group.Go(func() error { return ignoreClosed(a.Server.Serve(a.listeners.grpc)) })
	for _, task := range a.tasks {
		group.Go(func() error { return ignoreClosed(task(ctx)) })
	}
	a.Log.Info("serving", "grpc", a.listeners.grpc.Addr().String(), "admin", a.listeners.admin.Addr().String())
	group.Go(func() error { return ignoreClosed(a.becomeReady(ctx)) })

	group.Go(func() error {
		<-ctx.Done()
		a.drain()
		return nil
	})
	return group.Wait()
}

func (a *App) becomeReady(ctx context.Context) error {
	for _, gate := range a.gates {
		if err := gate(ctx); err != nil {
			return err
		}
	}
	if ctx.Err() == nil {
		a.tellHealth(healthv1.HealthCheckResponse_SERVING)
		a.ready.Store(true)
		a.Log.Info("ready")
	}
	return nil
}

// tellHealth sets what grpc.health.v1 says: of each service of ours by its name, and of the whole by the empty one,
// which is the one that Envoy asks for.
func (a *App) tellHealth(status healthv1.HealthCheckResponse_ServingStatus) {
	a.health.SetServingStatus("", status)
	for name := range a.Server.GetServiceInfo() {
		if strings.HasPrefix("/"+name, ownPackages) {
			a.health.SetServingStatus(name, status)
		}
	}
}

// GRPCAddr is where the server listens, for tests that let the system choose.
func (a *App) GRPCAddr() string { return a.listeners.grpc.Addr().String() }

// AdminAddr is where the admin server listens, for tests that let the system choose.
func (a *App) AdminAddr() string { return a.listeners.admin.Addr().String() }

func (a *App) drain() {
	a.Log.Info("draining", "seconds", a.Config.DrainSeconds)
	a.ready.Store(false)
	a.health.Shutdown()
	ctx, cancel := context.WithTimeout(context.Background(), a.Config.Drain())
	defer cancel()
	for _, drain := range a.drains {
		drain(ctx)
	}
	stopped := make(chan struct{})
	go func() {
		a.Server.GracefulStop()
		close(stopped)
	}()
	select {
	case <-stopped:
	case <-ctx.Done():
		a.Server.Stop()
		<-stopped
	}
	_ = a.admin.Close()
	a.Log.Info("drained")
}

func (a *App) onClose(f func()) { a.closers = append(a.closers, f) }

func (a *App) close() {
	for _, f := range slices.Backward(a.closers) {
		f()
	}
	a.closers = nil
}

func flushTraces(flush func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = flush(ctx)
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, grpc.ErrServerStopped) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// Main runs a service and ends the process: with one line on standard error if it fails.
func Main(run func(context.Context) error) {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
