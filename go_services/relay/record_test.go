package relay

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"buf.build/go/protovalidate"
	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"github.com/worldmesh/worldmesh/go_services/relay/room"
	"google.golang.org/protobuf/encoding/protodelim"
)

// recordOne has a room live through whatever a seed says, and is its recording.
func recordOne(t *testing.T, seed uint64) []byte {
	t.Helper()
	validator, err := protovalidate.New()
	if err != nil {
		t.Fatal(err)
	}
	h := quietHub()
	h.recordings = t.TempDir()
	s := &server{validator: validator, metrics: h.metrics}
	live := liveRoomOn(h, "room_recorded", &roomv1.RoomConfig{
		Capacity: 5, Width: 40, Depth: 40, TickHz: 20, MaxSpeed: 8, Spawn: &commonv1.Position{X: 20, Z: 20},
	})
	random := rand.New(rand.NewPCG(seed, 0))
	streams := []*stream{newStream(1, "gateway-0", 1<<20, func(error) {}), newStream(2, "gateway-1", 1<<20, func(error) {})}
	for _, st := range streams {
		live.attach(st, &roomv1.AttachRequest_Open{})
	}
	type place struct {
		stream *stream
		link   uint32
	}
	var joined []place
	for i := range 300 {
		st, link := streams[random.IntN(2)], 1+random.Uint32N(4)
		in := &roomv1.Input{Link: link, Rid: 1, Number: uint64(i + 1)}
		switch random.IntN(8) {
		case 0, 1:
			in.Link = uint32(10 + i)
			in.Body = &roomv1.Input_Join_{Join: joinFor(fmt.Sprint("usr_", random.IntN(8)))}
			in.GetJoin().GatewaySessionId = fmt.Sprint("gws_", i)
			joined = append(joined, place{st, in.Link})
		case 2:
			in.Body = &roomv1.Input_Leave_{Leave: &roomv1.Input_Leave{}}
		case 3:
			in.Body = &roomv1.Input_Chat_{Chat: &roomv1.Input_Chat{Text: fmt.Sprint("no ", i)}}
		case 4:
			in.Body = &roomv1.Input_Chat_{Chat: &roomv1.Input_Chat{}} // refused
		case 5:
			until(t, "everything is logged", func() bool { return !live.waits() })
			tickAtOnce(live)
			continue
		case 6:
			live.idle()
			continue
		default:
			in = step(20 + random.Float32())
			if len(joined) > 0 {
				who := joined[max(0, len(joined)-1-random.IntN(8))]
				st, in.Link = who.stream, who.link
			}
		}
		batch := batchOf(in)
		if in.GetState() != nil { // the order of both decides where the member is
			before := step(20 + random.Float32())
			before.Link = in.GetLink()
			batch.Steps = stepsOf(before, before, before)
			batch.Steps.X[1] += random.Float32()
			refused, also := chat(in.GetLink(), ""), step(20+random.Float32())
			also.Link = in.GetLink()
			batch.Inputs = append(batch.Inputs, refused, also)
			random.Shuffle(3, func(i, j int) { batch.Inputs[i], batch.Inputs[j] = batch.Inputs[j], batch.Inputs[i] })
			batch.StepsBefore = []uint32{random.Uint32N(4), random.Uint32N(4), random.Uint32N(4)}
			slices.Sort(batch.StepsBefore)
		}
		play(t, s, live, st, batch)
	}
	return endRecording(t, live)
}

// endRecording ends a room, and is its recording.
func endRecording(t *testing.T, live *liveRoom) []byte {
	t.Helper()
	until(t, "everything is logged", func() bool { return !live.waits() })
	live.end("", endIdle)
	return onlyRecording(t, live.hub)
}

// onlyRecording is the only one of a hub's.
func onlyRecording(t *testing.T, h *hub) []byte {
	t.Helper()
	files, err := filepath.Glob(h.recordings + "/*.room")
	if err != nil || len(files) != 1 {
		t.Fatalf("recordings: %v, %v", files, err)
	}
	recording, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	return recording
}

func TestARecordingThatIsPlayedAgainComesToTheSameState(t *testing.T) {
	ticks := 0
	for seed := range uint64(20) {
		recording := recordOne(t, seed)
		done, err := Replay(bytes.NewReader(recording), nothing{}, func(r *roomv1.RoomRecord) {
			if r.GetTick() != nil {
				ticks++
			}
		})
		if err != nil || !done.Ended || done.Hash != done.Recorded || done.Build != kit.Build() {
			t.Fatalf("seed %d: %+v, %v", seed, done, err)
		}
		if done.Records < 100 || ticks < 1 || done.Room.Position().Seq == 0 {
			t.Fatalf("seed %d: nothing has happened: %+v", seed, done)
		}
	}
	if ticks < 20 {
		t.Errorf("there were %d ticks", ticks)
	}
}

func TestARecordingOfAFullRoomComesToTheSameState(t *testing.T) {
	c := newCrowdedRoom(t, 100, 200, t.TempDir())
	for range 50 {
		c.walk(2, 3)
		c.tick()
		play(t, c.server, c.live, c.streams[0], batchOf(lookFor(1, true, true, 0)))
	}
	done, err := Replay(bytes.NewReader(endRecording(t, c.live)), nothing{}, func(*roomv1.RoomRecord) {})
	if err != nil || !done.Ended || done.Hash != done.Recorded {
		t.Fatalf("%+v, %v", done, err)
	}
}

func TestARecordingThatLacksAStepComesToAnotherState(t *testing.T) {
	recording := recordOne(t, 1)
	left := false
	done, err := Replay(bytes.NewReader(recording), nothing{}, func(record *roomv1.RoomRecord) {
		if chat := record.GetPlayed().GetInputs(); !left && len(chat) == 1 && chat[0].GetJoin() != nil {
			record.Step, left = &roomv1.RoomRecord_Tick_{Tick: &roomv1.RoomRecord_Tick{}}, true
		}
	})
	if err != nil || !left || done.Hash == done.Recorded {
		t.Fatalf("%+v, %v", done, err)
	}
}

func TestWhatIsNoRecordingIsAnError(t *testing.T) {
	for want, raw := range map[error][]byte{
		errEmpty: nil, errCut: []byte("hello"), errNoBegin: {0},
	} {
		if done, err := Replay(bytes.NewReader(raw), nothing{}, func(*roomv1.RoomRecord) {}); !errors.Is(err, want) {
			t.Errorf("%d bytes are played as %+v, %v", len(raw), done, err)
		}
	}
	if _, err := Replay(strings.NewReader("\x02\xff\xff"), nothing{}, func(*roomv1.RoomRecord) {}); err == nil {
		t.Error("what is no record is played")
	}
}

func TestARecordingWhoseLastRecordIsCutIsPlayedUpToIt(t *testing.T) {
	raw := recordOne(t, 2)
	whole, err := Replay(bytes.NewReader(raw), nothing{}, func(*roomv1.RoomRecord) {})
	if err != nil || whole.Cut {
		t.Fatalf("%+v, %v", whole, err)
	}
	cut, err := Replay(bytes.NewReader(raw[:len(raw)-1]), nothing{}, func(*roomv1.RoomRecord) {})
	if err != nil || !cut.Cut || cut.Ended || cut.Records != whole.Records-1 || cut.Hash != whole.Hash {
		t.Errorf("%+v, %v", cut, err)
	}
}

// A relay that is killed ends no room.
func TestWhatARecordingHasIsInTheFileSoon(t *testing.T) {
	h := quietHub()
	h.recordings = t.TempDir()
	h.wall = func() time.Time { return time.Unix(1_700_000_000, 0) }
	live := liveRoomOn(h, "room_killed", &roomv1.RoomConfig{
		Capacity: 5, Width: 40, Depth: 40, TickHz: 20, MaxSpeed: 8, Spawn: &commonv1.Position{X: 20, Z: 20},
	})
	look := func() (done Replayed, first time.Time) {
		raw, err := os.ReadFile(filepath.Join(h.recordings, fmt.Sprintf("room_killed-%d.room", live.epoch())))
		if err != nil {
			t.Fatal(err)
		}
		done, err = Replay(bytes.NewReader(raw), nothing{}, func(r *roomv1.RoomRecord) {
			if r.GetBegin() != nil {
				first = time.Unix(0, r.GetTimeNs())
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return done, first
	}
	if done, first := look(); done.Records != 1 || !first.Equal(h.wall()) {
		t.Errorf("at once there is %+v, of %v", done, first)
	}
	live.attach(newStream(1, "gateway-0", 1<<20, func(error) {}), &roomv1.AttachRequest_Open{})
	live.idle()
	if done, _ := look(); done.Records != 3 || done.Cut || done.Ended || done.Hash != live.core.Hash() {
		t.Errorf("then there is %+v", done)
	}
}

// nothing takes what comes out of a room.
type nothing struct{}

func (nothing) Joined(room.Link, room.In, frames.Snapshot)               {}
func (nothing) Refused(room.Link, room.In, commonv1.ErrorReason, string) {}
func (nothing) Removed(room.Link, room.In, commonv1.ErrorReason)         {}
func (nothing) Event(*room.Entry)                                        {}
func (nothing) Again(*room.Entry, uint64)                                {}
func (nothing) Told(*room.Entry, ...room.Link)                           {}
func (nothing) Done(room.Link, room.In)                                  {}
func (nothing) Failed(room.Link, room.In, commonv1.ErrorReason, string)  {}
func (nothing) Corrected(room.Link, frames.EntityState)                  {}
func (nothing) State(frames.StateBatch)                                  {}
func (nothing) View(uint64, []uint32, frames.StateBatch)                 {}
func (nothing) Roster(uint64, []uint32, frames.Roster)                   {}
func (nothing) Behind(uint64) bool                                       { return false }

// A bug report is a file that comes from somebody else.
func TestARecordingWhoseStepsDoNotAgreeIsAnError(t *testing.T) {
	var file bytes.Buffer
	for _, record := range []*roomv1.RoomRecord{
		{Step: &roomv1.RoomRecord_Begin_{Begin: &roomv1.RoomRecord_Begin{
			RoomId: "room_a", Config: &roomv1.RoomConfig{TickHz: 20},
		}}},
		{Step: &roomv1.RoomRecord_Played_{Played: &roomv1.RoomRecord_Played{Steps: &roomv1.Steps{Links: []uint32{1}}}}},
	} {
		if _, err := protodelim.MarshalTo(&file, record); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Replay(&file, nothing{}, func(*roomv1.RoomRecord) {}); err == nil || !strings.Contains(err.Error(), "record 2: ") {
		t.Errorf("replayed with %v", err)
	}
}
