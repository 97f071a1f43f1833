package presence

import (
	"context"
	"testing"
	"time"

	presencev1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/presence/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// located is the mesh as a shard's question finds it: the instance itself, another one, or nobody.
type located struct {
	presencev1.PresenceServiceClient
	by func(shard uint32) (*presencev1.LocateShardResponse, error)
}

func (l located) LocateShard(
	_ context.Context, request *presencev1.LocateShardRequest, _ ...grpc.CallOption,
) (*presencev1.LocateShardResponse, error) {
	return l.by(request.GetShard())
}

func TestAShardThatAnotherInstanceHasTakenOverIsLetGo(t *testing.T) {
	s, client := startServer(t, settle)
	g := attach(t, client, "usr_ann", in("usr_ann", "s1", ""))
	watch, err := client.WatchPresence(calling(t), &presencev1.WatchPresenceRequest{UserIds: []string{"usr_ann"}})
	if err != nil {
		t.Fatal(err)
	}
	seen(t, watch, "usr_ann", online)

	s.verifyOnce(calling(t), client) // it is its own peer
	s.verifyOnce(calling(t), located{by: func(uint32) (*presencev1.LocateShardResponse, error) { return nil, errMoved }})
	g.says(in("usr_ann", "s1", "room_plaza"))
	seen(t, watch, "usr_ann", func(p *presencev1.UserPresence) bool { return p.GetDevices()[0].GetRoomId() == "room_plaza" })

	s.verifyOnce(calling(t), located{by: func(uint32) (*presencev1.LocateShardResponse, error) {
		return &presencev1.LocateShardResponse{Incarnation: "another"}, nil
	}})
	if _, err := g.rpc.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the gateway's stream ends with %v", err)
	}
	// The watch goes on where the shard is now, and hears of nobody who leaves and comes back.
	attach(t, client, "usr_ann", in("usr_ann", "s1", "room_garden"))
	for {
		response, err := watch.Recv()
		if err != nil {
			t.Fatal(err)
		}
		p := response.GetPresences()[0]
		if !p.GetOnline() {
			t.Fatal("ann seems to be offline")
		}
		if p.GetDevices()[0].GetRoomId() == "room_garden" {
			return
		}
	}
}

func TestOfAShardThatBeginsItIsNotKnownWhoIsOffline(t *testing.T) {
	_, client := startServer(t, time.Second)
	attach(t, client, "usr_ann", in("usr_ann", "s1", ""))
	get := func() (ann, ben *presencev1.UserPresence) {
		request := &presencev1.BatchGetPresenceRequest{UserIds: []string{"usr_ann", "usr_ben"}}
		response, err := client.BatchGetPresence(callingAs(t, "usr_eve", "client"), request)
		if err != nil {
			t.Fatal(err)
		}
		return response.GetPresences()[0], response.GetPresences()[1]
	}
	if ann, ben := get(); !ann.GetOnline() || ann.GetUnknown() || ben.GetOnline() || !ben.GetUnknown() {
		t.Errorf("at first: %v, %v", ann, ben)
	}
	watch, err := client.WatchPresence(calling(t), &presencev1.WatchPresenceRequest{UserIds: []string{"usr_ben"}})
	if err != nil {
		t.Fatal(err)
	}
	seen(t, watch, "usr_ben", func(p *presencev1.UserPresence) bool { return p.GetUnknown() })
	seen(t, watch, "usr_ben", offline)
	if ann, ben := get(); !ann.GetOnline() || ben.GetOnline() || ben.GetUnknown() {
		t.Errorf("then: %v, %v", ann, ben)
	}
}

func TestAShardThatNobodyAnswersForDoesNotKeepOthers(t *testing.T) {
	s, _ := startServer(t, settle)
	for _, l := range s.shards {
		l.hold()
	}
	s.verifyOnce(calling(t), located{by: func(shard uint32) (*presencev1.LocateShardResponse, error) {
		if shard == 0 {
			return nil, errMoved
		}
		return &presencev1.LocateShardResponse{Incarnation: "another"}, nil
	}})
	for number, l := range s.shards {
		if held := l.holding() != nil; held != (number == 0) {
			t.Errorf("shard %d is held: %t", number, held)
		}
	}
}
