package gateway

import (
	"context"
	"slices"
	"sync"
	"time"

	worldv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/world/v1"
	"google.golang.org/protobuf/proto"
)

// maxEntries bounds how many rooms' answers are kept; a gateway that is asked for more asks world more often.
const maxEntries = 10_000

// entries asks world whether users may enter rooms, and keeps what goes for everybody as long as world says: when a
// crowd comes in, world is asked once.
type entries struct {
	world worldv1.WorldServiceClient
	now   func() time.Time

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
	asked := e.now()
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
