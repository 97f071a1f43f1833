package gateway

import (
	"context"
	"slices"
	"sync"
	"time"

	worldv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/world/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"golang.org/x/sync/singleflight"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// maxEntries bounds how many rooms' answers are kept; a gateway that is asked for more asks world more often.
const maxEntries = 10_000

// entryTimeout bounds a question: the proxy gives up after the 2 s of the contract, if it still does anything.
const entryTimeout = 3 * time.Second

// entries asks world whether users may enter rooms, and keeps what goes for everybody as long as world says: when a
// crowd comes into a room that is open to all, world is asked once. Those who come meanwhile wait for that answer, which may
// be theirs; where it is not, they ask for themselves.
type entries struct {
	world worldv1.WorldServiceClient
	now   func() time.Time

	asking singleflight.Group // by room

	mu   sync.Mutex
	kept map[string]keptEntry // by room
}

type keptEntry struct {
	answer *worldv1.AuthorizeEntryResponse // without a role
	until  time.Time
}

func newEntries(world worldv1.WorldServiceClient) *entries {
	return &entries{world: world, now: time.Now, kept: map[string]keptEntry{}}
}

// authorize is world's answer for a user: asked for, or the one that goes for everybody.
func (e *entries) authorize(ctx context.Context, roomID, userID string) (*worldv1.AuthorizeEntryResponse, error) {
	if answer := e.find(roomID, userID); answer != nil {
		return answer, nil
	}
	mine := false
	answered := e.asking.DoChan(roomID, func() (any, error) {
		mine = true
		return e.ask(ctx, roomID, userID)
	})
	var r singleflight.Result
	select {
	case <-ctx.Done():
		return nil, kit.StatusOf(ctx.Err()).Err()
	case r = <-answered:
	}
	if mine {
		answer, _ := r.Val.(*worldv1.AuthorizeEntryResponse)
		return answer, r.Err
	}
	if answer := e.find(roomID, userID); answer != nil {
		return answer, nil
	}
	switch kit.StatusOf(r.Err).Code() {
	case codes.Unavailable, codes.ResourceExhausted, codes.DeadlineExceeded:
		return nil, r.Err // world has no answer, for whomever
	default:
		return e.ask(ctx, roomID, userID)
	}
}

func (e *entries) ask(ctx context.Context, roomID, userID string) (*worldv1.AuthorizeEntryResponse, error) {
	asked := e.now()
	ctx, cancel := context.WithTimeout(ctx, entryTimeout)
	defer cancel()
	answer, err := e.world.AuthorizeEntry(ctx, &worldv1.AuthorizeEntryRequest{RoomId: roomID, UserId: userID})
	if err == nil {
		e.keep(roomID, answer, asked)
	}
	return answer, err
}

func (e *entries) find(roomID, userID string) *worldv1.AuthorizeEntryResponse {
	e.mu.Lock()
	defer e.mu.Unlock()
	k, ok := e.kept[roomID]
	if !ok || !e.now().Before(k.until) || slices.Contains(k.answer.GetNamedUserIds(), userID) {
		return nil
	}
	return k.answer
}

func (e *entries) keep(roomID string, answer *worldv1.AuthorizeEntryResponse, asked time.Time) {
	if answer.GetSharedFor() == nil {
		return
	}
	shared := proto.CloneOf(answer)
	shared.Role = worldv1.RoomRole_ROOM_ROLE_UNSPECIFIED
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.kept) >= maxEntries {
		clear(e.kept)
	}
	e.kept[roomID] = keptEntry{shared, asked.Add(answer.GetSharedFor().AsDuration())}
}
