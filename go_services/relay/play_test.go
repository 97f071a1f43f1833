package relay

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"buf.build/go/protovalidate"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/worldmesh/worldmesh/clients/go/statebatch"
	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/internal/kittest"
	"github.com/worldmesh/worldmesh/go_services/relay/room"
	"github.com/worldmesh/worldmesh/go_services/relay/store"
	"google.golang.org/protobuf/proto"
)

// FuzzInputs plays whatever decodes as a batch of inputs: members stay within the room, and what is sent are frames.
func FuzzInputs(f *testing.F) {
	for _, inputs := range seedInputs() {
		batch := batchOf(inputs...)
		batch.Steps = stepsOf(inputs...)
		raw, err := proto.Marshal(batch)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	validator, err := protovalidate.New()
	if err != nil {
		f.Fatal(err)
	}
	h := quietHub()
	s := &server{validator: validator, metrics: h.metrics}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var batch roomv1.AttachRequest_Inputs
		if proto.Unmarshal(raw, &batch) != nil {
			return
		}
		cfg := &roomv1.RoomConfig{
			Capacity: 3, Width: 40, Depth: 40, TickHz: 20, MaxSpeed: 8, Spawn: &commonv1.Position{X: 1, Z: 1},
		}
		live := liveRoomOn(h, "room_fuzz", cfg)
		st := newStream(1, "gateway-0", 1<<20, func(error) {})
		live.attach(st, &roomv1.AttachRequest_Open{})
		if s.play(live, st, &batch) != nil {
			return
		}
		until(t, "everything is logged", func() bool { return !live.waits() })
		tickAtOnce(live)
		for _, member := range live.core.Members() {
			// NaN is within no bounds.
			if p := member.State.Position; !(p.X >= 0 && p.X <= 40 && p.Z >= 0 && p.Z <= 40) {
				t.Fatalf("a member is at %v", p)
			}
		}
		if live.core.Len() > int(cfg.GetCapacity()) {
			t.Fatalf("%d members in a room for %d", live.core.Len(), cfg.GetCapacity())
		}
		if len(st.queue) > 0 {
			checkFrames(t, st)
		}
		live.detach(st)
	})
}

func TestBoundsAreThoseOfTheContract(t *testing.T) {
	for name, bound := range map[string][2]uint64{
		"inputs": {maxInputs, kittest.Rules(t, &roomv1.AttachRequest_Inputs{}, "inputs").GetRepeated().GetMaxItems()},
		"steps":  {maxInputs, kittest.Rules(t, &roomv1.Steps{}, "links").GetRepeated().GetMaxItems()},
		"values": {maxValues, kittest.Rules(t, &roomv1.Input_State{}, "values").GetBytes().GetMaxLen()},
	} {
		if bound[0] != bound[1] {
			t.Errorf("%s: %d, and by the contract %d", name, bound[0], bound[1])
		}
	}
}

func checkFrames(t *testing.T, st *stream) {
	t.Helper()
	deliveries, err := st.take(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range deliveries {
		if len(d.GetFrame()) == 0 && (d.GetMembership() != nil || d.GetAnswered() != 0) {
			continue
		}
		if statebatch.Is(d.GetFrame()) {
			continue
		}
		if kind := clientv1.GetRootAsServerFrame(d.GetFrame(), 0).BodyType(); kind == clientv1.ServerBodyNONE {
			t.Fatalf("a delivery without a frame: %v", d)
		}
	}
}

func seedInputs() [][]*roomv1.Input {
	join := func(link uint32, user string) *roomv1.Input {
		return &roomv1.Input{Link: link, Rid: 1, Body: &roomv1.Input_Join_{Join: &roomv1.Input_Join{
			User: &commonv1.PublicUser{UserId: user, Username: user}, GatewaySessionId: "gws_" + user,
		}}}
	}
	walk := func(x float32) *roomv1.Input {
		return &roomv1.Input{Link: 1, Body: &roomv1.Input_State_{State: &roomv1.Input_State{
			Position: &commonv1.Position{X: x, Z: 1}, Yaw: 7, Values: []byte("values"),
		}}}
	}
	whisper := &roomv1.Input{Link: 1, Rid: 4, Body: &roomv1.Input_Whisper_{Whisper: &roomv1.Input_Whisper{
		TargetUserId: "usr_ben", Text: "psst", ClientMessageId: "m1",
	}}}
	emote := &roomv1.Input{Link: 2, Rid: 5, Body: &roomv1.Input_Emote_{Emote: &roomv1.Input_Emote{EmoteId: "wave"}}}
	detach := &roomv1.Input{Link: 2, Number: 7, Body: &roomv1.Input_Detach_{Detach: &roomv1.Input_Detach{}}}
	leave := &roomv1.Input{Link: 1, Rid: 6, Body: &roomv1.Input_Leave_{Leave: &roomv1.Input_Leave{}}}
	return [][]*roomv1.Input{
		{join(1, "usr_ann"), walk(1.5), walk(-3), walk(39)},
		{join(1, "usr_ann"), join(2, "usr_ben"), chat(1, "hello"), whisper, whisper, emote, detach, leave, leave},
		{join(1, "usr_ann"), join(2, "usr_ann"), join(3, "usr_cyd"), join(4, "usr_dan"), join(5, "usr_eve")},
		{{}, chat(9, "from nobody"), join(0, "")},
	}
}

// BenchmarkRoomTick is a room of 50 on one gateway in which everybody moves in every tick, from decoded inputs to what
// the stream sends: 2,500 deliveries an iteration.
func BenchmarkRoomTick(b *testing.B) {
	const members = 50
	h := quietHub()
	s := &server{metrics: h.metrics}
	cfg := &roomv1.RoomConfig{Capacity: members, Width: 40, Depth: 40, TickHz: 20, MaxSpeed: 8}
	live := liveRoomOn(h, "room_bench", cfg)
	st := newStream(1, "gateway-0", 8<<20, func(error) {})
	live.attach(st, &roomv1.AttachRequest_Open{})
	batch := &roomv1.AttachRequest_Inputs{Steps: &roomv1.Steps{}}
	for i := range members {
		link := uint32(i + 1)
		id := fmt.Sprint(i)
		live.do(func(now time.Time, core *room.Room) {
			core.Join(now, room.Link{Stream: 1, ID: link}, room.In{}, room.Join{User: frames.User{ID: id}, Session: id})
		})
		addStep(batch.GetSteps(), link, 0, 0, make([]byte, 44))
	}
	until(b, "all are in", func() bool { return !live.waits() })
	var taken []*roomv1.Delivery
	b.ReportAllocs()
	for b.Loop() {
		_ = s.play(live, st, batch)
		tickAtOnce(live)
		taken, _ = st.take(context.Background(), taken)
	}
	b.ReportMetric(float64(b.N)*members*members/b.Elapsed().Seconds(), "deliveries/s")
}

// batchOf is inputs as they come.
func batchOf(inputs ...*roomv1.Input) *roomv1.AttachRequest_Inputs {
	return &roomv1.AttachRequest_Inputs{Inputs: inputs}
}

// stepsOf is those of the inputs that are state, as steps.
func stepsOf(inputs ...*roomv1.Input) *roomv1.Steps {
	steps := &roomv1.Steps{}
	for _, in := range inputs {
		if state := in.GetState(); state != nil {
			addStep(steps, in.GetLink(), state.GetPosition().GetX(), state.GetPosition().GetZ(), state.GetValues())
		}
	}
	return steps
}

func addStep(s *roomv1.Steps, link uint32, x, z float32, values []byte) {
	s.Links, s.X, s.Y, s.Z = append(s.Links, link), append(s.X, x), append(s.Y, 0), append(s.Z, z)
	s.Yaws, s.Animations = append(s.Yaws, 0), append(s.Animations, 1)
	s.ValueSizes, s.Values = append(s.ValueSizes, uint32(len(values))), append(s.Values, values...)
}

// play gives a batch to a room, which must not be none's.
func play(tb testing.TB, s *server, live *liveRoom, st *stream, batch *roomv1.AttachRequest_Inputs) {
	tb.Helper()
	if err := s.play(live, st, batch); err != nil {
		tb.Fatal(err)
	}
}

// quietHub is a hub of a relay that nobody reaches, with a store in memory.
func quietHub() *hub {
	t := &tenure{
		me: store.Owner{Relay: "relay-0", Incarnation: "1"}, lease: time.Minute, store: store.NewMemory(time.Now),
		log: slog.New(slog.DiscardHandler), world: &eras{},
	}
	return newHub(context.Background(), t, time.Minute, newMetrics(prometheus.NewRegistry()), t.log)
}

func liveRoomOn(h *hub, id string, cfg *roomv1.RoomConfig) *liveRoom {
	claim, err := h.tenure.store.Claim(context.Background(), store.ClaimRequest{Room: id, Owner: h.tenure.me})
	if err != nil {
		panic(err)
	}
	return newLiveRoom(id, h, cfg, claim)
}
