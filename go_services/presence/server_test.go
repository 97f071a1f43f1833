package presence

import (
	"context"
	"fmt"
	"testing"
	"time"

	presencev1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/presence/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"github.com/worldmesh/worldmesh/go_services/internal/kittest"
	"github.com/worldmesh/worldmesh/go_services/internal/shardkey"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const (
	lease  = 300 * time.Millisecond
	settle = 100 * time.Millisecond
)

// start runs presence behind mTLS. It is its own peer: what it asks other shards for, it asks itself.
func start(t *testing.T) presencev1.PresenceServiceClient {
	t.Helper()
	_, client := startServer(t, settle)
	return client
}

func startServer(t *testing.T, settle time.Duration) (*server, presencev1.PresenceServiceClient) {
	t.Helper()
	files := kittest.NewTLS(t)
	cfg := Config{Config: files.Config("presence"), Lease: lease, Settle: settle, WatchesPerUser: 2}
	app, err := kit.NewApp(context.Background(), cfg.Config)
	if err != nil {
		t.Fatal(err)
	}
	s := register(app, cfg)
	client := presencev1.NewPresenceServiceClient(files.DialAsProxy(t, app.GRPCAddr()))
	s.peers = client
	kittest.Run(t, app)
	return s, client
}

func calling(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, kit.HeaderCaller, "gateway")
}

// callingAs is a call for a signed-in user.
func callingAs(t *testing.T, user, scopes string) context.Context {
	t.Helper()
	return metadata.AppendToOutgoingContext(calling(t), kit.HeaderUserID, user, kit.HeaderScopes, scopes)
}

// gateway is a gateway's stream to the shard of a user.
type gateway struct {
	t   *testing.T
	rpc presencev1.PresenceService_AttachClient
	seq uint64
}

func attach(t *testing.T, client presencev1.PresenceServiceClient, user string, has ...*presencev1.AttachRequest_Change) *gateway {
	t.Helper()
	rpc, err := client.Attach(calling(t))
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{t: t, rpc: rpc, seq: 1}
	open := &presencev1.AttachRequest_Open{GatewayId: "gateway-0", Incarnation: "one", Shard: shardkey.Of(user)}
	g.send(&presencev1.AttachRequest{Body: &presencev1.AttachRequest_Open_{Open: open}})
	g.send(&presencev1.AttachRequest{Body: &presencev1.AttachRequest_Snapshot{
		Snapshot: &presencev1.AttachRequest_Changes{Seq: 1, Changes: has},
	}})
	g.acked()
	return g
}

func (g *gateway) send(request *presencev1.AttachRequest) {
	g.t.Helper()
	if err := g.rpc.Send(request); err != nil {
		g.t.Fatal(err)
	}
}

func (g *gateway) acked() {
	g.t.Helper()
	if response, err := g.rpc.Recv(); err != nil || response.GetAckedSeq() != g.seq {
		g.t.Fatalf("%v, %v", response, err)
	}
}

func (g *gateway) says(changes ...*presencev1.AttachRequest_Change) {
	g.t.Helper()
	g.seq++
	g.send(&presencev1.AttachRequest{Body: &presencev1.AttachRequest_Changes_{
		Changes: &presencev1.AttachRequest_Changes{Seq: g.seq, Changes: changes},
	}})
	g.acked()
}

func in(user, session, room string) *presencev1.AttachRequest_Change {
	return &presencev1.AttachRequest_Change{
		UserId: user, Device: &presencev1.Device{GatewaySessionId: session, RoomId: room},
	}
}

// seen waits for the next presence of a user in a watch.
func seen(t *testing.T, watch presencev1.PresenceService_WatchPresenceClient, user string, ok func(*presencev1.UserPresence) bool) {
	t.Helper()
	for {
		response, err := watch.Recv()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range response.GetPresences() {
			if p.GetUserId() == user && ok(p) {
				return
			}
		}
	}
}

func online(p *presencev1.UserPresence) bool  { return p.GetOnline() }
func offline(p *presencev1.UserPresence) bool { return !p.GetOnline() && !p.GetUnknown() }

func TestAUserIsSeenFromTheFirstSessionToTheLast(t *testing.T) {
	client := start(t)
	watch, err := client.WatchPresence(calling(t), &presencev1.WatchPresenceRequest{UserIds: []string{"usr_ann", "usr_ben"}})
	if err != nil {
		t.Fatal(err)
	}
	seen(t, watch, "usr_ann", offline)
	g := attach(t, client, "usr_ann", in("usr_ann", "s1", ""))
	seen(t, watch, "usr_ann", online)
	g.says(in("usr_ann", "s1", "room_plaza"))
	seen(t, watch, "usr_ann", func(p *presencev1.UserPresence) bool { return p.GetDevices()[0].GetRoomId() == "room_plaza" })
	gone := in("usr_ann", "s1", "")
	gone.Gone = true
	g.says(gone)
	seen(t, watch, "usr_ann", offline)
}

func TestAGatewayThatDoesNotComeBackLosesItsSessions(t *testing.T) {
	client := start(t)
	watch, err := client.WatchPresence(calling(t), &presencev1.WatchPresenceRequest{UserIds: []string{"usr_ann"}})
	if err != nil {
		t.Fatal(err)
	}
	g := attach(t, client, "usr_ann", in("usr_ann", "s1", ""))
	seen(t, watch, "usr_ann", online)
	if err := g.rpc.CloseSend(); err != nil {
		t.Fatal(err)
	}
	seen(t, watch, "usr_ann", offline)
}

func TestAStreamThatAnotherOfItsGatewayHasReplacedIsToldSo(t *testing.T) {
	client := start(t)
	first := attach(t, client, "usr_ann", in("usr_ann", "gws_1", "plaza"))
	attach(t, client, "usr_ann", in("usr_ann", "gws_1", "garden"))
	first.seq++
	first.send(&presencev1.AttachRequest{Body: &presencev1.AttachRequest_Changes_{
		Changes: &presencev1.AttachRequest_Changes{Seq: first.seq, Changes: []*presencev1.AttachRequest_Change{in("usr_ann", "gws_1", "attic")}},
	}})
	if response, err := first.rpc.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("%v, %v", response, err)
	}
}

func TestUsersOfAllShardsAreAnsweredInTheOrderOfTheQuestion(t *testing.T) {
	client := start(t)
	var users []string
	for i := range 60 {
		users = append(users, fmt.Sprintf("usr_%d", i))
	}
	attach(t, client, users[7], in(users[7], "s1", "room_plaza"))
	response, err := client.BatchGetPresence(calling(t), &presencev1.BatchGetPresenceRequest{UserIds: users})
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range response.GetPresences() {
		if p.GetUserId() != users[i] || p.GetOnline() != (i == 7) {
			t.Fatalf("%d is %v", i, p)
		}
	}
}

func TestAUserOfAnotherShardIsRefused(t *testing.T) {
	client := start(t)
	other := (shardkey.Of("usr_ann") + 1) % shardkey.Count
	_, err := client.GetShardPresence(calling(t), &presencev1.GetShardPresenceRequest{Shard: other, UserIds: []string{"usr_ann"}})
	if status.Code(err) != codes.InvalidArgument {
		t.Fatalf("the error is %v", err)
	}
}

func TestChangesBeforeASnapshotAreRefused(t *testing.T) {
	client := start(t)
	rpc, err := client.Attach(calling(t))
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{t: t, rpc: rpc}
	open := &presencev1.AttachRequest_Open{GatewayId: "gateway-0", Incarnation: "one", Shard: 1}
	g.send(&presencev1.AttachRequest{Body: &presencev1.AttachRequest_Open_{Open: open}})
	g.send(&presencev1.AttachRequest{Body: &presencev1.AttachRequest_Changes_{Changes: &presencev1.AttachRequest_Changes{}}})
	if _, err := rpc.Recv(); status.Code(err) != codes.InvalidArgument {
		t.Fatalf("the error is %v", err)
	}
}
