package gateway

import (
	"context"
	"strings"
	"testing"
	"time"

	flatbuffers "github.com/google/flatbuffers/go"
	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
	worldv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/world/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
	"github.com/worldmesh/worldmesh/go_services/gateway/session"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	statusv1 "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

func TestACallReachesTheServiceOnBehalfOfTheUser(t *testing.T) {
	l := newLab(t, nil)
	ann := l.enter("usr_ann", "")
	ann.say(`{"rid":3,"call":{"method":"worldmesh.world.v1.WorldService/ListRooms","request":{"name_prefix":"pla"}}}`)
	ann.hears(`{"rid":3,"call_result":{"response":{"rooms":[{"room_id":"plaza"`)
	l.world.mu.Lock()
	defer l.world.mu.Unlock()
	for header, want := range map[string]string{
		kit.HeaderUserID: "usr_ann", kit.HeaderSessionID: "ses_usr_ann", kit.HeaderUsername: "name-of-usr_ann",
		kit.HeaderAccountKind: "guest", kit.HeaderScopes: "client",
	} {
		if got := l.world.headers.Get(header); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q", header, got)
		}
	}
}

func TestCallsThatAreRefused(t *testing.T) {
	l := newLab(t, nil)
	ann := l.enter("usr_ann", "")
	for method, reason := range map[string]string{
		"worldmesh.world.v1.WorldService/AuthorizeEntry":      "METHOD_NOT_FOUND", // internal
		"worldmesh.gateway.v1.GatewayService/ListSessions":    "METHOD_NOT_FOUND", // for servers
		"worldmesh.world.v1.WorldService/NoSuch":              "METHOD_NOT_FOUND",
		"grpc.health.v1.Health/Check":                         "METHOD_NOT_FOUND",
		"worldmesh.presence.v1.PresenceService/WatchPresence": "METHOD_STREAMING",
	} {
		ann.say(`{"rid":3,"call":{"method":"` + method + `","request":{}}}`)
		if got := ann.hears(`{"rid":3,"error":{"reason":"` + reason + `"`); !strings.Contains(got, `"code":12,`) {
			t.Errorf("%s is not UNIMPLEMENTED: %s", method, got)
		}
	}
	for _, request := range []string{`{"no_such_field":1}`, `{"page_size":"many"}`, `[]`, `7`} {
		ann.say(`{"rid":4,"call":{"method":"worldmesh.world.v1.WorldService/ListRooms","request":` + request + `}}`)
		ann.hears(`{"rid":4,"error":{"reason":"PAYLOAD_MALFORMED"`)
	}
}

func TestAnErrorOfACallComesWithAllItsDetails(t *testing.T) {
	l := newLab(t, nil)
	ann := l.enter("usr_ann", "")
	ann.say(`{"rid":3,"call":{"method":"worldmesh.world.v1.WorldService/GetRoom","request":{"room_id":"r"}}}`)
	got := ann.hears(`{"rid":3,"error":{"reason":"RATE_LIMITED","message":"too many","code":8,"retry_after_ms":1500,"details":[`)
	for _, part := range []string{`google.rpc.ErrorInfo`, `google.rpc.RetryInfo`, `"limit":"3"`} {
		if !strings.Contains(strings.ReplaceAll(got, " ", ""), part) {
			t.Errorf("no %s in %s", part, got)
		}
	}
}

func TestInFlatBuffersACallIsProtobuf(t *testing.T) {
	l := newLab(t, nil)
	call := func(method string, payload []byte) *clientv1.ServerFrame {
		t.Helper()
		answer, err := l.caller.answer(context.Background(), session.User{User: frames.User{ID: "usr_ann"}}, dialect.FlatBuffers, 3,
			dialect.Call{Method: "worldmesh.world.v1.WorldService/" + method, Payload: payload})
		if err != nil {
			t.Fatal(err)
		}
		frame := clientv1.GetRootAsServerFrame(answer.message, 0)
		if frame.Rid() != 3 || frame.BodyType() != answer.kind {
			t.Errorf("answered rid %d, %s", frame.Rid(), frame.BodyType())
		}
		return frame
	}
	var table flatbuffers.Table

	request, _ := proto.Marshal(&worldv1.ListRoomsRequest{NamePrefix: "pla"})
	call("ListRooms", request).Body(&table)
	var result clientv1.CallResult
	result.Init(table.Bytes, table.Pos)
	var response worldv1.ListRoomsResponse
	if err := proto.Unmarshal(result.PayloadBytes(), &response); err != nil || response.GetRooms()[0].GetDisplayName() != "with pla" {
		t.Errorf("%v, %v", err, &response)
	}

	var failed clientv1.Error
	call("ListRooms", []byte{0xff}).Body(&table)
	failed.Init(table.Bytes, table.Pos)
	if string(failed.Reason()) != "PAYLOAD_MALFORMED" {
		t.Errorf("a payload that is none: %s", failed.Reason())
	}

	request, _ = proto.Marshal(&worldv1.GetRoomRequest{RoomId: "r"})
	call("GetRoom", request).Body(&table)
	failed.Init(table.Bytes, table.Pos)
	var status statusv1.Status
	if err := proto.Unmarshal(failed.StatusBytes(), &status); err != nil || len(status.GetDetails()) != 2 {
		t.Errorf("%v, %v", err, &status)
	}
}

func TestCallsEndWithTheirSocket(t *testing.T) {
	l := newLab(t, nil)
	ended := make(chan struct{})
	l.world.slow = ended
	ann := l.enter("usr_ann", "")
	ann.say(`{"rid":3,"call":{"method":"worldmesh.world.v1.WorldService/ListRooms"}}`)
	l.until("the call is there", func() bool {
		l.world.mu.Lock()
		defer l.world.mu.Unlock()
		return l.world.headers != nil
	})
	_ = ann.conn.Close()
	<-ended
}

func TestTooManyCallsAtATime(t *testing.T) {
	l := newLab(t, func(g *Gateway) { g.limits.Calls = 1 })
	l.world.slow = make(chan struct{})
	ann := l.enter("usr_ann", "")
	ann.say(`{"rid":3,"call":{"method":"worldmesh.world.v1.WorldService/ListRooms"}}`)
	ann.say(`{"rid":4,"call":{"method":"worldmesh.world.v1.WorldService/ListRooms"}}`)
	ann.hears(`{"rid":4,"error":{"reason":"TOO_MANY_CALLS"`)
}

func TestWhoIsToldThatSomethingIsAwayIsToldWhenToTryAgain(t *testing.T) {
	for want, err := range map[uint32]error{
		1000: status.Error(codes.Unavailable, "connection refused"),
		5000: kit.Unavailable("busy").After(5 * time.Second),
		0:    status.Error(codes.NotFound, "no such room"),
	} {
		if got := errorFrame(err).RetryAfterMS; got != want {
			t.Errorf("%v: to try again after %d ms, not %d", err, got, want)
		}
	}
}
