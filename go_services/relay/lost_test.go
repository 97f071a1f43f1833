package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/relay/room"
	"github.com/worldmesh/worldmesh/go_services/relay/store"
)

// claimNext is what a relay would know that takes a room.
func claimNext(t *testing.T, h *hub, id string) store.Claim {
	t.Helper()
	rooms, _ := h.tenure.store.(*store.Memory)
	twin := store.NewMemory(time.Now)
	twin.FailOver(rooms.Save())
	claim, err := twin.Claim(t.Context(), store.ClaimRequest{Room: id, Owner: h.tenure.me})
	if err != nil {
		t.Fatal(err)
	}
	return claim
}

func TestTheNextRelayKnowsWhoseHoldsHaveBegun(t *testing.T) {
	h := quietHub()
	live := liveRoomOn(h, "room_a", &roomv1.RoomConfig{
		Capacity: 5, Width: 40, Depth: 40, TickHz: 20, MaxSpeed: 8, Spawn: &commonv1.Position{X: 20, Z: 20},
	})
	streams := []*stream{newStream(1, "gateway-0", 1<<20, func(error) {}), newStream(2, "gateway-1", 1<<20, func(error) {})}
	joins := []*roomv1.Input{
		{Link: 1, Body: &roomv1.Input_Join_{Join: joinFor("usr_a")}}, {Link: 1, Body: &roomv1.Input_Join_{Join: joinFor("usr_b")}},
	}
	for i, s := range streams {
		live.attach(s, &roomv1.AttachRequest_Open{})
		joins[i].GetJoin().GatewaySessionId = s.gateway
		live.play(s, batchOf(joins[i]), func(room.Link, *roomv1.Input) bool { return true })
	}
	lost := func(entities ...uint32) func() bool {
		return func() bool {
			known := claimNext(t, h, "room_a").Lost
			for _, entity := range entities {
				if _, is := known[entity]; !is {
					return false
				}
			}
			return len(known) == len(entities)
		}
	}
	until(t, "both are in", func() bool { return len(claimNext(t, h, "room_a").Members) == 2 })
	live.detach(streams[0])
	live.idle()
	until(t, "the store knows who is lost", lost(1))

	back := newStream(3, "gateway-0", 1<<20, func(error) {})
	live.attach(back, &roomv1.AttachRequest_Open{Rejoins: []*roomv1.Rejoin{{Link: 1, Join: joins[0].GetJoin()}}})
	live.idle()
	until(t, "and who is back", lost())

	live.giveAway(context.Background(), "", endDrained)
	if claim := claimNext(t, h, "room_a"); !lost(1, 2)() || claim.Owner.Epoch <= live.owner.Epoch {
		t.Errorf("whose room is given away is lost: %+v", claim)
	}
}

// watching is a store that looks at something while a room is released.
type watching struct {
	store.Store
	look func()
}

func (w watching) Release(ctx context.Context, id string, owner store.Owner, last frames.LogPosition) error {
	w.look()
	return w.Store.Release(ctx, id, owner, last)
}

func TestRoomsThatAreGivenAwayAreCountedMeanwhile(t *testing.T) {
	h := quietHub()
	leaving := func() float64 {
		var told dto.Metric
		if err := h.metrics.leaving.Write(&told); err != nil {
			t.Error(err)
		}
		return told.GetGauge().GetValue()
	}
	live := liveRoomOn(h, "room_a", &roomv1.RoomConfig{Capacity: 3, TickHz: 20})
	amid := -1.0
	h.tenure.store = watching{h.tenure.store, func() { amid = leaving() }}
	live.giveAway(t.Context(), "", endDrained)
	if amid != 1 || leaving() != 0 {
		t.Errorf("%v while it is given away, and then %v", amid, leaving())
	}
	fenced := liveRoomOn(h, "room_b", &roomv1.RoomConfig{Capacity: 3, TickHz: 20})
	fenced.end("", endFenced)
	if leaving() != 0 {
		t.Errorf("a room that is lost is given away: %v", leaving())
	}
}

func TestARecordingOfARoomThatWasTakenComesToTheSameState(t *testing.T) {
	h := quietHub()
	owner := store.Owner{Relay: "relay-0", Incarnation: "0"}
	claim, err := h.tenure.store.Claim(t.Context(), store.ClaimRequest{Room: "room_a", Owner: owner})
	if err != nil {
		t.Fatal(err)
	}
	entries := make([]*room.Entry, 3)
	for i := range entries {
		entries[i] = &room.Entry{Joined: &room.Record{Entity: uint32(i + 1), Session: "gws_1"}, Author: "usr"}
		entries[i].Joined.User.ID = string(rune('a' + i))
		entries[i].Epoch, entries[i].Seq = claim.Owner.Epoch, uint64(i+1)
	}
	lost := []store.Lost{{Entity: 1, For: time.Hour}, {Entity: 2, For: time.Second}}
	if err := h.tenure.store.Append(t.Context(), "room_a", claim.Owner, entries, lost); err != nil {
		t.Fatal(err)
	}
	h.recordings = t.TempDir()
	live := liveRoomOn(h, "room_a", &roomv1.RoomConfig{
		Capacity: 5, Width: 40, Depth: 40, TickHz: 20, MaxSpeed: 8, Spawn: &commonv1.Position{X: 20, Z: 20},
	})
	live.idle()
	done, err := Replay(bytes.NewReader(endRecording(t, live)), nothing{}, func(*roomv1.RoomRecord) {})
	if err != nil || !done.Ended || done.Hash != done.Recorded || done.Room.Len() != 3 {
		t.Errorf("%+v, %v", done, err)
	}
}

// keeper takes note of which rooms are kept, and fails the first time.
type keeper struct {
	store.Store
	kept []string
	asks int
}

func (k *keeper) Keep(_ context.Context, rooms []string) error {
	if k.asks++; k.asks == 1 {
		return errors.New("not now")
	}
	k.kept = append(k.kept, rooms...)
	return nil
}

func TestRoomsInWhichNothingHappensAreKept(t *testing.T) {
	h := quietHub()
	var rooms []*liveRoom
	for i := range 3 {
		rooms = append(rooms, liveRoomOn(h, fmt.Sprint("room_", i), &roomv1.RoomConfig{Capacity: 5, Width: 40, Depth: 40, TickHz: 20, MaxSpeed: 8}))
	}
	k := &keeper{Store: h.tenure.store}
	h.tenure.store = k
	for range 3 {
		h.keep(t.Context(), rooms)
	}
	if len(k.kept) != len(rooms) || k.asks != 2 {
		t.Errorf("%d of %d rooms are kept, by %d calls", len(k.kept), len(rooms), k.asks)
	}
}

// lateDrain has the relay end when a room is being claimed, or is being made out of its log.
type lateDrain struct {
	store.Store
	claimed func()
}

func (s *lateDrain) Claim(ctx context.Context, q store.ClaimRequest) (store.Claim, error) {
	defer s.claimed()
	return s.Store.Claim(ctx, q)
}

func TestARoomThatIsOpenedWhileTheRelayEndsIsGivenUp(t *testing.T) {
	for name, when := range map[string]func(h *hub, end func()){
		"while it is claimed": func(h *hub, end func()) { h.tenure.store = &lateDrain{h.tenure.store, end} },
		"while it is made": func(h *hub, end func()) {
			wall := h.wall
			h.wall = func() time.Time {
				end()
				return wall()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := quietHub()
			h.tenure.renewed = time.Now()
			when(h, func() {
				h.mu.Lock()
				defer h.mu.Unlock()
				h.draining = true
			})
			_, _ = h.open(t.Context(), "room_a", &roomv1.RoomConfig{Capacity: 5, Width: 40, Depth: 40, TickHz: 20, MaxSpeed: 8})
			until(t, "nobody owns it", func() bool {
				owners, err := h.tenure.store.Owners(t.Context(), []string{"room_a"})
				owner := owners["room_a"].Owner
				return err == nil && owner.Epoch > 0 && owner.Relay == ""
			})
			until(t, "it is not here", func() bool { return h.find("room_a") == nil })
		})
	}
}
