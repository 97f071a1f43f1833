package gateway

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	worldv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/world/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
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

// slowWorld answers when it is let.
type slowWorld struct {
	countingWorld
	let     chan error
	waiting chan struct{}
}

func (w *slowWorld) AuthorizeEntry(
	ctx context.Context, request *worldv1.AuthorizeEntryRequest, opts ...grpc.CallOption,
) (*worldv1.AuthorizeEntryResponse, error) {
	w.waiting <- struct{}{}
	select {
	case w.err = <-w.let:
	case <-ctx.Done():
		w.err = ctx.Err()
	}
	return w.countingWorld.AuthorizeEntry(ctx, request, opts...)
}

func TestACrowdAsksOnce(t *testing.T) {
	for name, failed := range map[string]error{
		"and all may enter":      nil,
		"and there is no answer": status.Error(codes.Unavailable, "down"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				world := &slowWorld{
					countingWorld: countingWorld{shared: time.Second}, let: make(chan error), waiting: make(chan struct{}, 1),
				}
				e := newEntries(world)
				answers := make(chan error)
				for range 100 {
					go func() {
						_, err := e.authorize(t.Context(), "a", "ann")
						answers <- err
					}()
				}
				<-world.waiting
				synctest.Wait() // all others wait
				world.let <- failed
				for range 100 {
					if err := <-answers; !errors.Is(err, failed) {
						t.Fatal(err)
					}
				}
				if world.asked != 1 {
					t.Errorf("asked %d times", world.asked)
				}
				time.Sleep(world.shared) // the next is another question
				go func() { _, _ = e.authorize(t.Context(), "a", "ann") }()
				<-world.waiting
				world.let <- nil
				synctest.Wait()
				if world.asked != 2 {
					t.Errorf("asked %d times in all", world.asked)
				}
			})
		})
	}
}

func TestWhoIsNamedAsksAfterTheCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := &slowWorld{
			countingWorld: countingWorld{shared: time.Second}, let: make(chan error), waiting: make(chan struct{}, 2),
		}
		e := newEntries(world)
		roles := make(chan worldv1.RoomRole)
		enter := func(user string) {
			answer, err := e.authorize(t.Context(), "a", user)
			if err != nil {
				t.Error(err)
			}
			roles <- answer.GetRole()
		}
		go enter("ann")
		<-world.waiting
		go enter("owner")
		synctest.Wait()
		world.let <- nil
		if role := <-roles; role != worldv1.RoomRole_ROOM_ROLE_UNSPECIFIED {
			t.Errorf("ann is %v", role)
		}
		world.let <- nil
		if role := <-roles; role != worldv1.RoomRole_ROOM_ROLE_OWNER {
			t.Errorf("the owner is %v", role)
		}
	})
}

func TestAWorldThatDoesNotAnswerIsNotWaitedForForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEntries(&slowWorld{let: make(chan error), waiting: make(chan struct{}, 1)})
		if _, err := e.authorize(t.Context(), "a", "ann"); kit.StatusOf(err).Code() != codes.DeadlineExceeded {
			t.Errorf("answered %v", err)
		}
	})
}
