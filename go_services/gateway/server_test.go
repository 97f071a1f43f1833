package gateway

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	gatewayv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/gateway/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"google.golang.org/grpc/codes"
)

func TestListSessions(t *testing.T) {
	l := newLab(t, nil)
	l.connect(dialect.JSON) // has not said hello: no session yet
	for i := range 5 {
		room := ""
		if i%2 == 0 {
			room = "plaza"
		}
		l.enter(fmt.Sprintf("usr_%d", i), room)
	}
	s := &server{gateway: l.Gateway}
	list := func(request *gatewayv1.ListSessionsRequest) *gatewayv1.ListSessionsResponse {
		t.Helper()
		response, err := s.ListSessions(context.Background(), request)
		if err != nil {
			t.Fatal(err)
		}
		return response
	}
	var seen []string
	for token, pages := "", 0; ; pages++ {
		page := list(&gatewayv1.ListSessionsRequest{PageSize: 2, PageToken: token})
		for _, session := range page.GetSessions() {
			seen = append(seen, session.GetGatewaySessionId())
		}
		if token = page.GetNextPageToken(); token == "" {
			if pages != 2 {
				t.Errorf("%d pages follow the first", pages)
			}
			break
		}
	}
	for i := 1; i < len(seen); i++ {
		if seen[i-1] >= seen[i] {
			t.Errorf("not in order: %q", seen)
		}
	}
	if len(seen) != 5 {
		t.Errorf("%d sessions", len(seen))
	}
	inPlaza := list(&gatewayv1.ListSessionsRequest{RoomId: "plaza"})
	if len(inPlaza.GetSessions()) != 3 || inPlaza.GetGatewayId() != "gateway-0" || inPlaza.GetSessions()[0].GetDialect() != "json" {
		t.Errorf("%v", inPlaza)
	}
}

func TestAPageTokenIsGoodForItsOwnListOnly(t *testing.T) {
	l := newLab(t, nil)
	for i := range 2 {
		l.enter(fmt.Sprintf("usr_%d", i), "plaza")
	}
	s, other := &server{gateway: l.Gateway}, &server{gateway: newLab(t, func(g *Gateway) { g.cfg.Instance = "gateway-1" }).Gateway}
	first, err := s.ListSessions(context.Background(), &gatewayv1.ListSessionsRequest{PageSize: 1, RoomId: "plaza"})
	if err != nil || len(first.GetNextPageToken()) > 512 {
		t.Fatal(first, err)
	}
	tests := map[string]struct {
		asked   *server
		request *gatewayv1.ListSessionsRequest
		says    string
	}{
		"another instance": {other, &gatewayv1.ListSessionsRequest{PageToken: first.GetNextPageToken(), RoomId: "plaza"},
			"is of gateway-0, and gateway-1 has answered"},
		"another room": {s, &gatewayv1.ListSessionsRequest{PageToken: first.GetNextPageToken(), RoomId: "garden"}, "start again"},
		"no room":      {s, &gatewayv1.ListSessionsRequest{PageToken: first.GetNextPageToken()}, "start again"},
		"made up":      {s, &gatewayv1.ListSessionsRequest{PageToken: "gws_01", RoomId: "plaza"}, "start again"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			page, err := test.asked.ListSessions(context.Background(), test.request)
			if kit.ReasonOf(err) != commonv1.ErrorReason_ERROR_REASON_INVALID_PAGE_TOKEN ||
				kit.StatusOf(err).Code() != codes.InvalidArgument || !strings.Contains(err.Error(), test.says) {
				t.Errorf("answered %v, %v", page, err)
			}
		})
	}
}

func TestADrainClosesAllSocketsSpreadOverItsTime(t *testing.T) {
	l := newLab(t, func(g *Gateway) { g.cfg.DrainSeconds = 0.4 })
	var people []*person
	for i := range 6 {
		people = append(people, l.enter(fmt.Sprintf("usr_%d", i), "plaza"))
	}
	ends := make(chan time.Duration, len(people))
	start := time.Now()
	for _, p := range people {
		go func() {
			p.closed(4000, "DRAINING")
			ends <- time.Since(start)
		}()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	l.drain(ctx)
	var least, most time.Duration = time.Hour, 0
	for range people {
		end := <-ends
		least, most = min(least, end), max(most, end)
	}
	if most-least < 150*time.Millisecond || most > time.Second {
		t.Errorf("sockets were closed from %v to %v", least, most)
	}
	l.until("presence knows that all are gone", func() bool { return len(l.presence.where()) == 0 })
}

func TestAnAddressIsBoundedUnlessItIsTheEdgeOnThisMachine(t *testing.T) {
	for name, value := range map[string]string{
		"WORLDMESH_SERVICE": "gateway", "WORLDMESH_INSTANCE": "gateway-0", "WORLDMESH_GRPC_ADDR": "x:1",
		"WORLDMESH_ADMIN_ADDR": "x:1", "WORLDMESH_MESH_ADDR": "x:1", "WORLDMESH_TLS_DIR": "x",
		"WORLDMESH_GATEWAY_WSS_ADDR": "x:1", "WORLDMESH_GATEWAY_TLS_CERT": "x", "WORLDMESH_GATEWAY_TLS_KEY": "x",
		"WORLDMESH_DESCRIPTOR_SET": "x",
	} {
		t.Setenv(name, value)
	}
	cfg, err := kit.ParseConfig[Config]()
	if err != nil {
		t.Fatal(err)
	}
	loopback := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}
	if cfg.SocketsPerAddress != 1000 || !slices.Equal(cfg.Proxies, loopback) {
		t.Errorf("%d an address, but for %v", cfg.SocketsPerAddress, cfg.Proxies)
	}
	t.Setenv("WORLDMESH_GATEWAY_SOCKETS_PER_ADDRESS", "0")
	t.Setenv("WORLDMESH_GATEWAY_PROXIES", "192.0.2.7,nobody")
	if _, err := kit.ParseConfig[Config](); err == nil || !strings.Contains(err.Error(), "WORLDMESH_GATEWAY_PROXIES") {
		t.Errorf("a proxy that is no address: %v", err)
	}
}

func TestPlainSocketsAreForDevelopment(t *testing.T) {
	plain := Config{Config: kit.Config{Environment: kit.Production}, WSAddr: "127.0.0.1:1"}
	if err := plain.Validate(); err == nil {
		t.Error("production serves sockets without TLS")
	}
	plain.Environment = kit.Development
	if err := plain.Validate(); err != nil {
		t.Error(err)
	}
}
