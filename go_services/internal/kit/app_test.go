package kit_test

import (
	"context"
	"io"
	"net/http"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"github.com/worldmesh/worldmesh/go_services/internal/kittest"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// rooms is a service whose call does what the test wants.
type rooms struct {
	roomv1.UnimplementedRoomServiceServer
	call func(context.Context) error
}

func (r *rooms) GetLiveRoom(ctx context.Context, _ *roomv1.GetLiveRoomRequest) (*roomv1.GetLiveRoomResponse, error) {
	return &roomv1.GetLiveRoomResponse{}, r.call(ctx)
}

func (r *rooms) Attach(stream roomv1.RoomService_AttachServer) error {
	_, err := stream.Recv()
	return err
}

type service struct {
	app    *kit.App
	client roomv1.RoomServiceClient
	health healthv1.HealthClient
	stop   context.CancelFunc
	ended  chan error
}

// start runs a service until stop is called or the test ends.
func start(t *testing.T, call func(context.Context) error, set ...func(*kit.App)) *service {
	t.Helper()
	files := kittest.NewTLS(t)
	cfg := files.Config("relay")
	cfg.DrainSeconds = 20
	app, err := kit.NewApp(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	roomv1.RegisterRoomServiceServer(app.Server, &rooms{call: call})
	for _, f := range set {
		f(app)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &service{app: app, stop: cancel, ended: make(chan error, 1)}
	go func() { s.ended <- app.Run(ctx); close(s.ended) }()
	conn := files.DialAsProxy(t, app.GRPCAddr())
	s.client, s.health = roomv1.NewRoomServiceClient(conn), healthv1.NewHealthClient(conn)
	t.Cleanup(func() {
		cancel()
		if err := <-s.ended; err != nil {
			t.Errorf("the service ended with %v", err)
		}
	})
	return s
}

// get calls with headers as Envoy sets them.
func (s *service) get(t *testing.T, room string, headers ...string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := s.client.GetLiveRoom(metadata.AppendToOutgoingContext(ctx, headers...), &roomv1.GetLiveRoomRequest{RoomId: room})
	return err
}

var asServer = []string{kit.HeaderCaller, "edge", kit.HeaderUserID, "usr_ann", kit.HeaderScopes, "client server"}

const room = "room_01JD0000000000000000000000"

func TestWhoMayCallIsWhatTheContractSays(t *testing.T) {
	s := start(t, func(context.Context) error { return nil })
	for _, c := range []struct {
		name    string
		headers []string
		want    commonv1.ErrorReason
	}{
		{"a token with the scope", asServer, 0},
		{"a service that the contract names", []string{kit.HeaderCaller, "spiffe://worldmesh/gateway"}, 0},
		{"no token", []string{kit.HeaderCaller, "edge"}, commonv1.ErrorReason_ERROR_REASON_TOKEN_MISSING},
		{"a token without the scope", []string{kit.HeaderCaller, "edge", kit.HeaderUserID, "usr_ann", kit.HeaderScopes, "client"},
			commonv1.ErrorReason_ERROR_REASON_SCOPE_MISSING},
	} {
		err := s.get(t, room, c.headers...)
		if c.want == 0 && err != nil || c.want != 0 && (err == nil || kit.ReasonOf(err) != c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestTheHandlerKnowsItsCallerAndItsDeadline(t *testing.T) {
	var caller kit.Caller
	var left time.Duration
	s := start(t, func(ctx context.Context) error {
		caller = kit.CallerOf(ctx)
		deadline, _ := ctx.Deadline()
		left = time.Until(deadline)
		return nil
	})
	if err := s.get(t, room, asServer...); err != nil {
		t.Fatal(err)
	}
	if caller.Service != "edge" || caller.User.ID != "usr_ann" || !caller.User.HasScope("server") {
		t.Errorf("the caller is %+v", caller)
	}
	if left <= 0 || left > time.Second {
		t.Errorf("%s are left, but the contract allows 1 s", left)
	}
}

func TestWhatFailsInsideIsNotToldOutside(t *testing.T) {
	for name, fail := range map[string]func(context.Context) error{
		"an error": func(context.Context) error { return io.ErrUnexpectedEOF },
		"a panic":  func(context.Context) error { panic("the secret") },
	} {
		err := start(t, fail).get(t, room, asServer...)
		if kit.ReasonOf(err) != commonv1.ErrorReason_ERROR_REASON_INTERNAL || status.Convert(err).Message() != "internal error" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMessagesOutOfTheirBoundsDoNotReachTheHandler(t *testing.T) {
	s := start(t, func(context.Context) error { t.Error("the handler was called"); return nil })
	if err := s.get(t, "", asServer...); kit.ReasonOf(err) != commonv1.ErrorReason_ERROR_REASON_INVALID_FIELD {
		t.Errorf("a call: %v", err)
	} else if message := kit.StatusOf(err).Message(); !strings.HasPrefix(message, "room_id: ") {
		t.Errorf("does not say which field: %s", message)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	stream, err := s.client.Attach(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&roomv1.AttachRequest{Body: &roomv1.AttachRequest_Open_{Open: &roomv1.AttachRequest_Open{}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); kit.ReasonOf(err) != commonv1.ErrorReason_ERROR_REASON_INVALID_FIELD {
		t.Errorf("a stream: %v", err)
	}
}

func TestReadinessWaitsForGatesAndMetricsCountCalls(t *testing.T) {
	open := make(chan struct{})
	s := start(t, func(context.Context) error { return nil }, func(app *kit.App) {
		app.BeforeReady(func(ctx context.Context) error {
			select {
			case <-open:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
	if code, _ := s.admin(t, "/readyz"); code != http.StatusServiceUnavailable {
		t.Fatalf("ready before its gate: %d", code)
	}
	for _, name := range []string{"", "worldmesh.room.v1.RoomService"} {
		if health := s.healthOf(t, name); health != healthv1.HealthCheckResponse_NOT_SERVING {
			t.Errorf("the health of %q before its gate: %v", name, health)
		}
	}
	close(open)
	until(t, "ready", func() bool { code, _ := s.admin(t, "/readyz"); return code == http.StatusOK })
	for _, name := range []string{"", "worldmesh.room.v1.RoomService"} {
		if health := s.healthOf(t, name); health != healthv1.HealthCheckResponse_SERVING {
			t.Errorf("the health of %q when it is ready: %v", name, health)
		}
	}
	if err := s.get(t, room, asServer...); err != nil {
		t.Fatal(err)
	}
	const want = `rpc_server_call_duration_seconds_count{rpc_grpc_status_code="OK",rpc_method="worldmesh.room.v1.RoomService/GetLiveRoom"} 1`
	until(t, "the call in the metrics", func() bool { _, body := s.admin(t, "/metrics"); return strings.Contains(body, want) })
}

func TestADrainLetsCallsFinishAndTakesNoNewOnes(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	drained := make(chan struct{})
	s := start(t, func(context.Context) error {
		close(entered)
		<-release
		return nil
	}, func(app *kit.App) { app.OnDrain(func(context.Context) { close(drained) }) })
	finished := make(chan error, 1)
	go func() { finished <- s.get(t, room, asServer...) }()
	<-entered
	until(t, "ready", func() bool { return s.healthOf(t, "") == healthv1.HealthCheckResponse_SERVING })
	s.stop()
	<-drained
	if code, _ := s.admin(t, "/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("ready while it drains: %d", code)
	}
	close(release)
	if err := <-finished; err != nil {
		t.Errorf("the call that was under way: %v", err)
	}
	if err := <-s.ended; err != nil {
		t.Errorf("the end: %v", err)
	}
	if err := s.get(t, room, asServer...); status.Code(err) != codes.Unavailable {
		t.Errorf("a call after the end: %v", err)
	}
}

// healthOf is what grpc.health.v1 says of a service.
func (s *service) healthOf(t *testing.T, name string) healthv1.HealthCheckResponse_ServingStatus {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	response, err := s.health.Check(ctx, &healthv1.HealthCheckRequest{Service: name})
	if err != nil {
		t.Fatal(err)
	}
	return response.GetStatus()
}

func (s *service) admin(t *testing.T, path string) (int, string) {
	t.Helper()
	response, err := http.Get("http://" + s.app.AdminAddr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// until waits for a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting: %s", what)
		}
	}
}

func TestAServiceOutlivesWhoReadsItsLog(t *testing.T) {
	signal.Reset(syscall.SIGPIPE)
	t.Cleanup(func() { signal.Reset(syscall.SIGPIPE) })
	s := start(t, func(context.Context) error { return nil })
	if err := s.get(t, room, asServer...); err != nil {
		t.Fatal(err)
	}
	if !signal.Ignored(syscall.SIGPIPE) {
		t.Error("the first line that nobody reads would end the process")
	}
}

func TestAWrongClockIsRefusedInProduction(t *testing.T) {
	cfg := kittest.NewTLS(t).Config("relay")
	cfg.Environment, cfg.ClockOffset = kit.Production, 300
	if _, err := kit.NewApp(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "WORLDMESH_CLOCK_OFFSET_SECONDS") {
		t.Errorf("started with %v", err)
	}
}
