package relay

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"github.com/worldmesh/worldmesh/go_services/relay/room"
	"github.com/worldmesh/worldmesh/go_services/relay/store"
	"google.golang.org/grpc/codes"
)

// defective is a sink that panics where a test says.
type defective struct {
	room.Sink
	atRefusal, atTick, atCorrection bool
}

func (d *defective) Corrected(to room.Link, state frames.EntityState) {
	if d.atCorrection {
		panic("a defect")
	}
	d.Sink.Corrected(to, state)
}

func (d *defective) Failed(to room.Link, in room.In, reason commonv1.ErrorReason, message string) {
	if d.atRefusal {
		panic("a defect")
	}
	d.Sink.Failed(to, in, reason, message)
}

func (d *defective) State(b frames.StateBatch) {
	if d.atTick {
		panic("a defect")
	}
	d.Sink.State(b)
}

// smallRoom is the settings of a room for a few.
func smallRoom() *roomv1.RoomConfig {
	return &roomv1.RoomConfig{
		Capacity: 5, Width: 40, Depth: 40, TickHz: 20, MaxSpeed: 8, Spawn: &commonv1.Position{X: 20, Z: 20},
	}
}

// defectiveRoom is a live room with a member at each of two gateways, and what it says goes through a defective sink.
func defectiveRoom(t *testing.T, h *hub, d *defective) (*liveRoom, []*stream) {
	t.Helper()
	live, err := h.open(t.Context(), "room_a", smallRoom())
	if err != nil {
		t.Fatal(err)
	}
	d.Sink = live.out
	live.core = room.New("room_a", roomConfig(smallRoom(), h.hold), d, live.clock.begin, room.Past{Epoch: live.owner.Epoch})
	streams := []*stream{newStream(1, "gateway-0", 1<<20, func(error) {}), newStream(2, "gateway-1", 1<<20, func(error) {})}
	for i, user := range []string{"usr_a", "usr_b"} {
		live.attach(streams[i], &roomv1.AttachRequest_Open{})
		join := &roomv1.Input{Link: 1, Body: &roomv1.Input_Join_{Join: joinFor(user)}}
		live.play(streams[i], batchOf(join), anything)
	}
	until(t, "both are in", func() bool { return !live.waits() })
	return live, streams
}

func anything(room.Link, *roomv1.Input) bool { return true }

// ending is all that comes by a stream, and with what it ends.
func ending(t *testing.T, s *stream) (all []*roomv1.Delivery, err error) {
	t.Helper()
	for {
		taken, err := s.take(t.Context(), nil)
		if err != nil || taken == nil {
			return all, err
		}
		all = append(all, taken...)
	}
}

// leasedHub is a quiet hub that has a lease.
func leasedHub(t *testing.T) *hub {
	t.Helper()
	h := quietHub()
	h.tenure.world = &eras{}
	if err := h.tenure.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h
}

func TestARoomThatPanicsEndsAndLivesAgainWithoutTheInputThatDidIt(t *testing.T) {
	h := leasedHub(t)
	h.recordings = t.TempDir()
	other, err := h.open(t.Context(), "room_b", smallRoom())
	if err != nil {
		t.Fatal(err)
	}
	live, streams := defectiveRoom(t, h, &defective{atRefusal: true})
	before, said := live.owner.Epoch, chat(1, "hello")
	said.Number = 6
	poison := &roomv1.Input{Link: 1, Rid: 7, Number: 8, Body: &roomv1.Input_Whisper_{
		Whisper: &roomv1.Input_Whisper{TargetUserId: "usr_nobody", Text: "psst"},
	}}
	live.play(streams[0], batchOf(said, poison, chat(1, "never")), anything)

	all, err := ending(t, streams[0])
	if !errors.Is(err, errPanicked) || kit.StatusOf(err).Code() != codes.Internal {
		t.Errorf("its stream ends with %v", err)
	}
	answered := slices.ContainsFunc(all, func(d *roomv1.Delivery) bool { return d.GetAnswered() == 8 && len(d.GetFrame()) > 0 })
	if !answered {
		t.Errorf("who did it is not answered: %v", all)
	}
	if _, err := ending(t, streams[1]); !errors.Is(err, errPanicked) {
		t.Errorf("the other stream ends with %v", err)
	}
	var counted dto.Metric
	if err := h.metrics.ends.WithLabelValues(endPanicked).Write(&counted); err != nil || counted.GetCounter().GetValue() != 1 {
		t.Errorf("%v rooms have panicked, %v", counted.GetCounter().GetValue(), err)
	}
	if h.find("room_b") != other || other.ended {
		t.Error("another room has ended, too")
	}
	again, err := h.open(t.Context(), "room_a", smallRoom())
	if err != nil || again.owner.Epoch <= before || again.core.Len() != 2 {
		t.Fatalf("it lives again with %d members in epoch %d: %v", again.core.Len(), again.owner.Epoch, err)
	}
}

func TestTheRecordingOfARoomThatPanickedHasTheInputThatDidIt(t *testing.T) {
	h := leasedHub(t)
	h.recordings = t.TempDir()
	live, streams := defectiveRoom(t, h, &defective{atRefusal: true})
	whisper := &roomv1.Input_Whisper{TargetUserId: "usr_nobody", Text: "psst"}
	live.play(streams[0], batchOf(chat(1, "hello"), &roomv1.Input{Link: 1, Body: &roomv1.Input_Whisper_{Whisper: whisper}}), anything)
	var last *roomv1.RoomRecord
	done, err := Replay(bytes.NewReader(onlyRecording(t, h)), nothing{}, func(r *roomv1.RoomRecord) { last = r })
	if err != nil || done.Ended || done.Cut {
		t.Fatalf("%+v, %v", done, err)
	}
	inputs := last.GetPlayed().GetInputs()
	if len(inputs) != 2 || inputs[1].GetWhisper().GetText() != "psst" {
		t.Errorf("the last record is %v", last)
	}
}

// Gateways keep the newest step of each member, and would repeat it.
func TestWhoWalksAsTheRoomPanicsIsPutOut(t *testing.T) {
	for name, asked := range map[string]bool{"unasked": false, "asked": true} {
		t.Run(name, func(t *testing.T) {
			live, streams := defectiveRoom(t, leasedHub(t), &defective{atCorrection: true})
			far := step(4000)
			far.Link = 1
			batch := &roomv1.AttachRequest_Inputs{Steps: stepsOf(far)}
			if asked {
				far.Rid, far.Number = 4, 9
				batch = batchOf(far)
			}
			live.play(streams[0], batch, anything)
			all, err := ending(t, streams[0])
			last := all[len(all)-1]
			out := last.GetMembership().GetLink() == 1 && last.GetMembership().GetRemoved() == commonv1.ErrorReason_ERROR_REASON_INTERNAL
			if !errors.Is(err, errPanicked) || !out || last.GetAnswered() != far.GetNumber() {
				t.Errorf("it ends with %v, %v", last, err)
			}
			if others, _ := ending(t, streams[1]); slices.ContainsFunc(others, isRemoval) {
				t.Errorf("somebody else is put out: %v", others)
			}
		})
	}
}

func isRemoval(d *roomv1.Delivery) bool {
	return d.GetMembership().GetRemoved() != commonv1.ErrorReason_ERROR_REASON_UNSPECIFIED
}

// A core is asked by others than its gateways: by whoever writes its log, sweeps it, or gives it away.
func TestARoomWhoseCoreIsBrokenEndsWhoeverAsksIt(t *testing.T) {
	for name, ask := range map[string]func(*liveRoom){
		"the writer":              func(l *liveRoom) { l.tellsLost = true; _, _ = l.next() },
		"the writer that fails":   func(l *liveRoom) { l.stalled(errWaiting) },
		"a newer era":             func(l *liveRoom) { l.wantEra(7) },
		"a claim":                 func(l *liveRoom) { _ = l.claimAgain(7) },
		"the sweep":               func(l *liveRoom) { l.idle() },
		"who compares the owners": func(l *liveRoom) { l.ownership() },
		"who gives it away":       func(l *liveRoom) { l.giveAway(context.Background(), "", endDrained) },
		"who waits":               func(l *liveRoom) { l.settle(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			h := leasedHub(t)
			live, streams := defectiveRoom(t, h, &defective{})
			live.core = nil
			ask(live)
			if _, err := ending(t, streams[0]); !errors.Is(err, errPanicked) {
				t.Errorf("its stream ends with %v", err)
			}
			ask(live) // nothing is ended twice
			if h.find("room_a") != nil {
				t.Error("it is still here")
			}
		})
	}
}

func TestARoomThatPanicsAtATickEnds(t *testing.T) {
	h := leasedHub(t)
	live, streams := defectiveRoom(t, h, &defective{atTick: true})
	walk := step(21)
	walk.Link = 1
	live.play(streams[0], &roomv1.AttachRequest_Inputs{Steps: stepsOf(walk)}, anything)
	for _, s := range streams {
		if _, err := ending(t, s); !errors.Is(err, errPanicked) {
			t.Errorf("a stream ends with %v", err)
		}
	}
	if h.find("room_a") != nil {
		t.Error("it is still here")
	}
}

func TestARoomThatCanNotBeMadeOfItsLogEndsNoOther(t *testing.T) {
	h := leasedHub(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := h.open(ctx, "room_a", &roomv1.RoomConfig{}); !errors.Is(err, errPanicked) { // it ticks never
		t.Errorf("it opens with %v", err)
	}
	if _, err := h.open(ctx, "room_b", smallRoom()); err != nil {
		t.Error(err)
	}
	until(t, "another relay may have it", func() bool {
		q := store.ClaimRequest{Room: "room_a", Owner: store.Owner{Relay: "relay-1", Incarnation: "1"}}
		claim, err := h.tenure.store.Claim(ctx, q)
		return err == nil && claim.Granted
	})
}

func TestARoomThatHasPanickedDoesNotClaimWhatLivesAgain(t *testing.T) {
	h := leasedHub(t)
	dead, _ := defectiveRoom(t, h, &defective{})
	core := dead.core
	dead.core = nil
	dead.idle()
	dead.core = core
	live, err := h.open(t.Context(), "room_a", smallRoom())
	if err != nil {
		t.Fatal(err)
	}
	if err := dead.claimAgain(h.tenure.currentEra() + 1); err != nil {
		t.Error(err)
	}
	if err := dead.release(t.Context()); !errors.Is(err, errWaiting) {
		t.Errorf("it is released: %v", err)
	}
	said := live.owner
	if owner := ownerOf(t, h, "room_a"); owner != said {
		t.Errorf("%v has it, not %v", owner, said)
	}
}

func ownerOf(t *testing.T, h *hub, id string) store.Owner {
	t.Helper()
	claim, err := h.tenure.store.Claim(t.Context(), store.ClaimRequest{Room: id, Owner: store.Owner{Relay: "relay-9"}})
	if err != nil || claim.Granted {
		t.Fatalf("%+v, %v", claim, err)
	}
	return claim.Owner
}
