package gateway

import (
	"context"
	"errors"
	"testing"
	"time"

	worldv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/world/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
)

// countingWorld answers for everybody but its owner, and counts.
type countingWorld struct {
	worldv1.WorldServiceClient
	asked  int
	shared time.Duration
	err    error
}

func (w *countingWorld) AuthorizeEntry(
	_ context.Context, request *worldv1.AuthorizeEntryRequest, _ ...grpc.CallOption,
) (*worldv1.AuthorizeEntryResponse, error) {
	w.asked++
	answer := &worldv1.AuthorizeEntryResponse{Role: worldv1.RoomRole_ROOM_ROLE_UNSPECIFIED, NamedUserIds: []string{"owner"}}
	if request.GetUserId() == "owner" {
		answer.Role = worldv1.RoomRole_ROOM_ROLE_OWNER
	}
	if w.shared > 0 {
		answer.SharedFor = durationpb.New(w.shared)
	}
	return answer, w.err
}

func TestWhatGoesForEverybodyIsAskedOnce(t *testing.T) {
	world, now := &countingWorld{shared: time.Second}, time.Now()
	e := newEntries(world)
	e.now = func() time.Time { return now }
	role := func(room, user string) worldv1.RoomRole {
		t.Helper()
		answer, err := e.authorize(t.Context(), room, user)
		if err != nil {
			t.Fatal(err)
		}
		return answer.GetRole()
	}
	if role("a", "owner") != worldv1.RoomRole_ROOM_ROLE_OWNER || role("a", "ann") != worldv1.RoomRole_ROOM_ROLE_UNSPECIFIED {
		t.Error("the owner's role went to another, or did not come to the owner")
	}
	if role("a", "owner") != worldv1.RoomRole_ROOM_ROLE_OWNER {
		t.Error("the owner got what goes for everybody")
	}
	for range 10 {
		role("a", "bob")
	}
	if world.asked != 2 {
		t.Errorf("asked %d times, not once for each who is named and once for all", world.asked)
	}
	role("b", "bob")
	now = now.Add(time.Second)
	role("a", "bob")
	if world.asked != 4 {
		t.Errorf("asked %d times: another room and a later time are other questions", world.asked)
	}
}

func TestWhatGoesForOneOnlyAndWhatFailedIsAskedAgain(t *testing.T) {
	for _, world := range []*countingWorld{{}, {shared: time.Second, err: errors.New("down")}} {
		e := newEntries(world)
		for range 3 {
			_, _ = e.authorize(t.Context(), "a", "ann")
		}
		if world.asked != 3 {
			t.Errorf("asked %d times", world.asked)
		}
	}
}
