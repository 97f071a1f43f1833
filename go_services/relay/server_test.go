package relay

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	flatbuffers "github.com/google/flatbuffers/go"
	dto "github.com/prometheus/client_model/go"
	"github.com/worldmesh/worldmesh/clients/go/statebatch"
	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	worldv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/world/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"github.com/worldmesh/worldmesh/go_services/internal/kittest"
	"github.com/worldmesh/worldmesh/go_services/relay/room"
	"github.com/worldmesh/worldmesh/go_services/relay/store"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// relayUnderTest is a whole relay behind mTLS, with a store in memory.
type relayUnderTest struct {
	tls    *kittest.TLS
	addr   string
	client roomv1.RoomServiceClient
	hub    *hub
	stop   context.CancelFunc
}

func startRelay(t testing.TB, queueBytes int) *relayUnderTest {
	return startRelayOn(t, "relay-0", queueBytes, faulty{Store: store.NewMemory(time.Now)}, &eras{}, peers{})
}

func startRelayOn(t testing.TB, name string, queueBytes int, rooms store.Store, world *eras, relays peers) *relayUnderTest {
	t.Helper()
	files := kittest.NewTLS(t)
	cfg := Config{Config: files.Config("relay"), QueueBytes: queueBytes, Lease: 18 * time.Second, Hold: 500 * time.Millisecond}
	cfg.Instance, cfg.Address = name, name
	app, err := kit.NewApp(context.Background(), cfg.Config)
	if err != nil {
		t.Fatal(err)
	}
	h := register(app, cfg, rooms)
	h.tenure.world, h.tenure.relays = world, relays
	if err := h.tenure.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	kittest.RunUntil(t, ctx, app)
	t.Cleanup(cancel)
	conn := files.DialAsProxy(t, app.GRPCAddr())
	r := &relayUnderTest{tls: files, addr: app.GRPCAddr(), client: roomv1.NewRoomServiceClient(conn), hub: h, stop: cancel}
	if relays != nil {
		relays[name] = r
	}
	return r
}

// eras is world as far as relays ask it.
type eras struct {
	worldv1.WorldServiceClient
	era   atomic.Uint64
	asked atomic.Int32
	down  atomic.Bool
}

func (e *eras) AdvanceEra(
	_ context.Context, request *worldv1.AdvanceEraRequest, _ ...grpc.CallOption,
) (*worldv1.AdvanceEraResponse, error) {
	e.asked.Add(1)
	if e.down.Load() {
		return nil, kit.Unavailable("world is down")
	}
	for known := e.era.Load(); known <= request.GetAfter(); known = e.era.Load() {
		e.era.CompareAndSwap(known, request.GetAfter()+1)
	}
	return &worldv1.AdvanceEraResponse{Era: e.era.Load()}, nil
}

// peers are the relays that can be reached, by address.
type peers map[string]*relayUnderTest

func (p peers) Attach(context.Context, ...grpc.CallOption) (roomv1.RoomService_AttachClient, error) {
	panic("relays do not attach")
}

func (p peers) GetLiveRoom(
	ctx context.Context, request *roomv1.GetLiveRoomRequest, _ ...grpc.CallOption,
) (*roomv1.GetLiveRoomResponse, error) {
	md, _ := metadata.FromOutgoingContext(ctx)
	md.Set(kit.HeaderCaller, "relay")
	return p[md.Get(kit.HeaderHost)[0]].client.GetLiveRoom(metadata.NewOutgoingContext(ctx, md), request)
}

func (p peers) GetRelay(
	ctx context.Context, _ *roomv1.GetRelayRequest, _ ...grpc.CallOption,
) (*roomv1.GetRelayResponse, error) {
	md, _ := metadata.FromOutgoingContext(ctx)
	r := p[md.Get(kit.HeaderHost)[0]]
	if r == nil {
		return nil, kit.Unavailable("nobody listens")
	}
	return r.hub.describe()
}

// faulty is a store whose appends, or whose renewals of a relay's lease, can be made to fail.
type faulty struct {
	store.Store
	broken *atomic.Bool
	cut    *atomic.Bool
	renews *atomic.Pointer[func()] // is called before relay-a renews its lease
}

var errBroken = errors.New("the store is broken")

func (f faulty) Append(ctx context.Context, id string, owner store.Owner, entries []*room.Entry, lost []store.Lost) error {
	if f.broken != nil && f.broken.Load() {
		return errBroken
	}
	return f.Store.Append(ctx, id, owner, entries, lost)
}

func (f faulty) Renew(ctx context.Context, relay store.Relay, lease time.Duration) (store.Renewal, error) {
	if f.renews != nil && f.renews.Load() != nil && relay.ID == "relay-a" {
		(*f.renews.Load())()
	}
	if f.cut != nil && f.cut.Load() && relay.ID == "relay-a" {
		return store.Renewal{}, errBroken
	}
	return f.Store.Renew(ctx, relay, lease)
}

// gatewayStream is a gateway's side of a stream.
type gatewayStream struct {
	t      *testing.T
	rpc    roomv1.RoomService_AttachClient
	opened *roomv1.AttachResponse_Opened
	queue  []*roomv1.Delivery
}

func (r *relayUnderTest) attach(t *testing.T, gateway, room string) *gatewayStream {
	t.Helper()
	g, response := r.open(t, gateway, room, nil)
	if g.opened = response.GetOpened(); g.opened == nil {
		t.Fatalf("the first response is %v", response)
	}
	return g
}

// open begins a stream, with what a gateway says that was attached before, and takes the first response.
func (r *relayUnderTest) open(
	t *testing.T, gateway, room string, seen *roomv1.LogPosition, rejoins ...*roomv1.Rejoin,
) (*gatewayStream, *roomv1.AttachResponse) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	rpc, err := r.client.Attach(metadata.AppendToOutgoingContext(ctx, kit.HeaderRoomID, room))
	if err != nil {
		t.Fatal(err)
	}
	g := &gatewayStream{t: t, rpc: rpc}
	g.send(&roomv1.AttachRequest{Body: &roomv1.AttachRequest_Open_{Open: &roomv1.AttachRequest_Open{
		RoomId: room, GatewayId: gateway, Seen: seen, Rejoins: rejoins, Config: &roomv1.RoomConfig{
			Capacity: 250, Width: 40, Depth: 40, TickHz: 20, MaxSpeed: 8, Spawn: &commonv1.Position{X: 1, Z: 1},
		},
	}}})
	response, err := rpc.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return g, response
}

func (g *gatewayStream) send(request *roomv1.AttachRequest) {
	g.t.Helper()
	if err := g.rpc.Send(request); err != nil {
		g.t.Fatal(err)
	}
}

func (g *gatewayStream) inputs(inputs ...*roomv1.Input) {
	g.t.Helper()
	g.send(&roomv1.AttachRequest{Body: &roomv1.AttachRequest_Inputs_{Inputs: batchOf(inputs...)}})
}

func (g *gatewayStream) join(link uint32, user string) {
	g.t.Helper()
	g.inputs(&roomv1.Input{Link: link, Rid: 1, Number: 1, Body: &roomv1.Input_Join_{Join: joinFor(user)}})
}

func joinFor(user string) *roomv1.Input_Join {
	return &roomv1.Input_Join{User: &commonv1.PublicUser{UserId: user, Username: user}, GatewaySessionId: "gws_" + user}
}

func chat(link uint32, text string) *roomv1.Input {
	return &roomv1.Input{Link: link, Rid: 2, Body: &roomv1.Input_Chat_{Chat: &roomv1.Input_Chat{Text: text}}}
}

// next waits for a delivery whose frame is of a kind; a state batch is no table.
func (g *gatewayStream) next(kind clientv1.ServerBody) (*roomv1.Delivery, flatbuffers.Table) {
	g.t.Helper()
	for {
		for len(g.queue) > 0 {
			d := g.queue[0]
			g.queue = g.queue[1:]
			var body flatbuffers.Table
			if statebatch.Is(d.GetFrame()) {
				if kind == clientv1.ServerBodyStateBatch {
					return d, body
				}
				continue
			}
			if root := clientv1.GetRootAsServerFrame(d.GetFrame(), 0); root.BodyType() == kind && root.Body(&body) {
				return d, body
			}
		}
		response, err := g.rpc.Recv()
		if err != nil {
			g.t.Fatalf("waiting for %s: %v", kind, err)
		}
		g.queue = response.GetDeliveries().GetDeliveries()
	}
}

func TestMembersOfTwoGatewaysHearEachOtherInOrder(t *testing.T) {
	r := startRelay(t, 1<<20)
	a, b := r.attach(t, "gateway-0", "room_a"), r.attach(t, "gateway-1", "room_a")
	if a.opened.GetEpoch() != b.opened.GetEpoch() || a.opened.GetEpoch() == 0 {
		t.Fatalf("epochs %d and %d", a.opened.GetEpoch(), b.opened.GetEpoch())
	}
	a.join(1, "usr_ann")
	a.next(clientv1.ServerBodySnapshot)
	b.join(1, "usr_ben")
	b.next(clientv1.ServerBodySnapshot)
	for range 50 {
		a.inputs(chat(1, "hello"))
	}
	last := uint64(2) // two have joined
	for range 50 {
		_, body := b.next(clientv1.ServerBodyRoomEvent)
		var e clientv1.RoomEvent
		e.Init(body.Bytes, body.Pos)
		if e.Seq() != last+1 {
			t.Fatalf("seq %d after %d", e.Seq(), last)
		}
		last = e.Seq()
	}
}

func TestStateComesOnceATickWithTheLastValue(t *testing.T) {
	r := startRelay(t, 1<<20)
	g := r.attach(t, "gateway-0", "room_a")
	g.join(1, "usr_ann")
	g.next(clientv1.ServerBodySnapshot)
	g.inputs(step(1.1), step(1.2), step(1.3))
	d, _ := g.next(clientv1.ServerBodyStateBatch)
	batch := viewOf(d)
	if d.GetChannel() != roomv1.Channel_CHANNEL_STATE || len(batch.States) != 1 || batch.States[0].Position.X != 1.3 {
		t.Fatalf("channel %s, %+v", d.GetChannel(), batch)
	}
}

func step(x float32) *roomv1.Input {
	return &roomv1.Input{Link: 1, Body: &roomv1.Input_State_{State: &roomv1.Input_State{Position: &commonv1.Position{X: x, Z: 1}}}}
}

func TestOneClientsMistakeIsAnsweredToItAndDisturbsNobody(t *testing.T) {
	r := startRelay(t, 1<<20)
	g := r.attach(t, "gateway-0", "room_a")
	g.join(1, "usr_ann")
	g.next(clientv1.ServerBodySnapshot)
	g.inputs(chat(1, ""), &roomv1.Input{Link: 1, Rid: 3, Body: &roomv1.Input_State_{State: &roomv1.Input_State{}}}, chat(1, "fine"))
	for range 2 {
		d, body := g.next(clientv1.ServerBodyError)
		var e clientv1.Error
		e.Init(body.Bytes, body.Pos)
		if string(e.Reason()) != "INVALID_FIELD" || len(d.GetLinks()) != 1 {
			t.Fatalf("%s to %v", e.Reason(), d.GetLinks())
		}
	}
	g.next(clientv1.ServerBodyRoomEvent)
}

func TestStepsMoveTheirMembersAndThoseOutOfBoundsAreAnswered(t *testing.T) {
	r := startRelay(t, 1<<20)
	g := r.attach(t, "gateway-0", "room_a")
	g.join(1, "usr_ann")
	g.next(clientv1.ServerBodySnapshot)
	steps := stepsOf(step(1.1), step(1.2))
	addStep(steps, 9, 1, 1, nil) // of somebody who has gone
	for range 3 {
		addStep(steps, 1, 1, 1, nil)
	}
	last := len(steps.GetLinks()) - 1
	steps.Yaws[last], steps.Animations[last-1] = math.MaxUint16+1, math.MaxUint16+1
	steps.ValueSizes[last-2], steps.Values = maxValues+1, append(steps.Values, make([]byte, maxValues+1)...)
	addStep(steps, 1, 1.3, 1, []byte("hi"))
	g.send(&roomv1.AttachRequest{Body: &roomv1.AttachRequest_Inputs_{Inputs: &roomv1.AttachRequest_Inputs{Steps: steps}}})
	for range 3 {
		d, body := g.next(clientv1.ServerBodyError)
		var e clientv1.Error
		e.Init(body.Bytes, body.Pos)
		if string(e.Reason()) != "INVALID_FIELD" || !slices.Equal(d.GetLinks(), []uint32{1}) {
			t.Errorf("%s to %v", e.Reason(), d.GetLinks())
		}
	}
	d, _ := g.next(clientv1.ServerBodyStateBatch)
	if batch := viewOf(d); len(batch.States) != 1 || batch.States[0].Position.X != 1.3 || string(batch.Values[0].Values) != "hi" {
		t.Errorf("others see %+v", batch)
	}
	var counted dto.Metric
	if err := r.hub.metrics.steps.Write(&counted); err != nil || counted.GetCounter().GetValue() != float64(len(steps.GetLinks())) {
		t.Errorf("%v were counted, %v", &counted, err)
	}
}

func TestStepsWhoseListsDoNotAgreeEndTheStream(t *testing.T) {
	want := func(name string) error {
		if name == "they are too many" {
			return errTooMany
		}
		return errSteps
	}
	for name, spoil := range map[string]func(*roomv1.Steps){
		"a place is missing":                  func(s *roomv1.Steps) { s.Z = s.Z[:1] },
		"there are more values than is said":  func(s *roomv1.Steps) { s.Values = append(s.Values, 1) },
		"there are less values than is said":  func(s *roomv1.Steps) { s.ValueSizes[0]++ },
		"sizes that pass all bounds together": func(s *roomv1.Steps) { s.ValueSizes = []uint32{math.MaxUint32, 1} },
		"not every size is told":              func(s *roomv1.Steps) { s.ValueSizes = s.ValueSizes[:1] },
		"they are too many":                   func(s *roomv1.Steps) { *s = *stepsOf(slices.Repeat([]*roomv1.Input{step(1)}, maxInputs+1)...) },
	} {
		steps := stepsOf(step(1.1), step(1.2))
		spoil(steps)
		if err := checkBatch(&roomv1.AttachRequest_Inputs{Steps: steps}); !errors.Is(err, want(name)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for inputs, tooMany := range map[int]error{maxInputs: nil, maxInputs + 1: errTooMany} {
		if err := checkBatch(batchOf(make([]*roomv1.Input, inputs)...)); !errors.Is(err, tooMany) {
			t.Errorf("%d inputs: %v", inputs, err)
		}
	}
	for name, before := range map[string][]uint32{
		"not in order": {2, 1}, "more than there are": {0, 3}, "not of all inputs": {0}, "of more inputs": {0, 1, 2},
	} {
		batch := batchOf(chat(1, "a"), chat(1, "b"))
		batch.Steps, batch.StepsBefore = stepsOf(step(1.1), step(1.2)), before
		if err := checkBatch(batch); !errors.Is(err, errSteps) {
			t.Errorf("steps before inputs, %s: %v", name, err)
		}
	}
	r := startRelay(t, 1<<20)
	g := r.attach(t, "gateway-0", "room_a")
	g.send(&roomv1.AttachRequest{Body: &roomv1.AttachRequest_Inputs_{
		Inputs: &roomv1.AttachRequest_Inputs{Steps: &roomv1.Steps{Links: []uint32{1}}},
	}})
	if _, err := g.rpc.Recv(); kit.ReasonOf(err) != commonv1.ErrorReason_ERROR_REASON_INTERNAL {
		t.Errorf("it ended with %v", err)
	}
}

func TestTheMembersOfAGatewayThatDoesNotComeBackLeave(t *testing.T) {
	r := startRelay(t, 1<<20)
	a, b := r.attach(t, "gateway-0", "room_a"), r.attach(t, "gateway-1", "room_a")
	a.join(1, "usr_ann")
	a.next(clientv1.ServerBodySnapshot)
	b.join(1, "usr_ben")
	a.next(clientv1.ServerBodyRoomEvent)
	if err := b.rpc.CloseSend(); err != nil {
		t.Fatal(err)
	}
	_, body := a.next(clientv1.ServerBodyRoomEvent)
	var e clientv1.RoomEvent
	e.Init(body.Bytes, body.Pos)
	if e.BodyType() != clientv1.EventBodyMemberLeft {
		t.Fatalf("the event is %s", e.BodyType())
	}
	ctx := metadata.AppendToOutgoingContext(context.Background(), kit.HeaderCaller, "gateway")
	ctx = metadata.AppendToOutgoingContext(ctx, kit.HeaderRoomID, "room_a")
	live, err := r.client.GetLiveRoom(ctx, &roomv1.GetLiveRoomRequest{RoomId: "room_a"})
	if err != nil {
		t.Fatal(err)
	}
	if len(live.GetMembers()) != 1 || live.GetMembers()[0].GetGatewayId() != "gateway-0" {
		t.Fatalf("members: %v", live.GetMembers())
	}
}

// After a network that stood still a relay may hear of a gateway's streams in another order than they were opened.
func TestAGatewayIsToldThatAnotherOfItsStreamsHasTakenThePlaceOfThisOne(t *testing.T) {
	r := startRelay(t, 1<<20)
	newest := r.attach(t, "gateway-0", "room_a")
	newest.join(1, "usr_ann")
	newest.next(clientv1.ServerBodySnapshot)
	late, _ := r.open(t, "gateway-0", "room_a", seen(newest.opened.GetEpoch(), 1), rejoin(1, "usr_ann", 1))
	var err error
	for err == nil {
		_, err = newest.rpc.Recv()
	}
	if kit.StatusOf(err).Code() != codes.Unavailable {
		t.Fatal(err)
	}
	again, _ := r.open(t, "gateway-0", "room_a", seen(newest.opened.GetEpoch(), 1), rejoin(1, "usr_ann", 1))
	if err := late.rpc.CloseSend(); err != nil {
		t.Fatal(err)
	}
	again.inputs(chat(1, "still here"))
	if _, e := again.event(); e.Seq() != 2 {
		t.Errorf("the event after the join is %d", e.Seq())
	}
}

func TestARoomThatGoesLiveAgainHasAGreaterEpoch(t *testing.T) {
	r := startRelay(t, 1<<20)
	first := r.attach(t, "gateway-0", "room_a")
	if err := first.rpc.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := first.rpc.Recv(); err == nil {
		t.Fatal("the stream goes on")
	}
	until(t, "the room is over", func() bool { return r.hub.find("room_a") == nil })
	if second := r.attach(t, "gateway-0", "room_a"); second.opened.GetEpoch() <= first.opened.GetEpoch() {
		t.Fatalf("epoch %d after %d", second.opened.GetEpoch(), first.opened.GetEpoch())
	}
}

func TestAStreamThatDoesNotBeginWithOpenIsRefused(t *testing.T) {
	r := startRelay(t, 1<<20)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	rpc, err := r.client.Attach(ctx)
	if err != nil {
		t.Fatal(err)
	}
	(&gatewayStream{t: t, rpc: rpc}).inputs(chat(1, "hello"))
	if _, err := rpc.Recv(); status.Code(err) != codes.InvalidArgument {
		t.Fatalf("the error is %v", err)
	}
}

func TestOnlyProxiesGetIn(t *testing.T) {
	r := startRelay(t, 1<<20)
	client := roomv1.NewRoomServiceClient(r.tls.DialAsService(t, r.addr))
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err := client.GetLiveRoom(ctx, &roomv1.GetLiveRoomRequest{RoomId: "room_a"})
	if status.Code(err) != codes.Unavailable {
		t.Fatalf("the error is %v", err)
	}
}

func TestAGatewayThatReadsNothingIsEndedAndItsRoomGoesOn(t *testing.T) {
	r := startRelay(t, 64<<10)
	a, stuck := r.attach(t, "gateway-0", "room_a"), r.attach(t, "gateway-1", "room_a")
	a.join(1, "usr_ann")
	a.next(clientv1.ServerBodySnapshot)
	stuck.join(1, "usr_ben")
	text := strings.Repeat("x", 500)
	left := false
	for range 20_000 {
		_, body := a.next(clientv1.ServerBodyRoomEvent)
		var e clientv1.RoomEvent
		e.Init(body.Bytes, body.Pos)
		if left = e.BodyType() == clientv1.EventBodyMemberLeft; left {
			break
		}
		a.inputs(chat(1, text))
	}
	if !left {
		t.Fatal("the member of a gateway that reads nothing is still in the room")
	}
}

func TestAQueueKeepsTheNewestStateAndEndsAStreamThatIsTooSlow(t *testing.T) {
	var cause error
	s := newStream(1, "gateway-0", 1000, func(err error) { cause = err })
	state := func(n int) *roomv1.Delivery {
		return &roomv1.Delivery{Frame: make([]byte, n), Channel: roomv1.Channel_CHANNEL_STATE}
	}
	if s.pushState(state(10), nil) {
		t.Fatal("the first state replaced something")
	}
	if !s.pushState(state(10), func() *roomv1.Delivery { return state(20) }) {
		t.Fatal("the second state replaced nothing")
	}
	s.push(&roomv1.Delivery{Frame: make([]byte, 100)})
	if !s.pushState(state(10), func() *roomv1.Delivery { return state(30) }) {
		t.Fatal("the third state replaced nothing")
	}
	taken, err := s.take(context.Background(), nil)
	if err != nil || len(taken) != 2 || len(taken[0].GetFrame()) != 100 || len(taken[1].GetFrame()) != 30 {
		t.Fatalf("%v, %v", taken, err) // the newest state comes after the event that was queued before it
	}
	for range 20 {
		s.push(&roomv1.Delivery{Frame: make([]byte, 100)})
	}
	if !errors.Is(cause, errSlowGateway) {
		t.Fatalf("the cause is %v", cause)
	}
}

// until waits for a condition.
func TestASupersededStreamIsOverAlsoForASenderThatHangs(t *testing.T) {
	var cause error
	s := newStream(1, "gateway-0", 1000, func(err error) { cause = err })
	s.supersede()
	s.push(&roomv1.Delivery{Frame: make([]byte, 100)})
	s.supersede()
	select {
	case <-s.over:
	default:
		t.Error("it is not over")
	}
	if !errors.Is(cause, errSuperseded) || len(s.queue) != 0 {
		t.Errorf("the cause is %v, and %d deliveries wait", cause, len(s.queue))
	}
}

func until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for limit := time.Now().Add(10 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("it does not come to that: %s", what)
		}
	}
}

func TestStepsAndInputsArePlayedInTheirOrder(t *testing.T) {
	for name, c := range map[string]struct {
		before []uint32
		ends   float32
	}{
		"a step after the input":         {[]uint32{1}, 1.3},
		"both steps before it":           {[]uint32{2}, 1.2},
		"both, for nothing else is said": {nil, 1.2},
		"both steps after it":            {[]uint32{0}, 1.3},
	} {
		r := startRelay(t, 1<<20)
		g := r.attach(t, "gateway-0", "room_a")
		g.join(1, "usr_ann")
		g.next(clientv1.ServerBodySnapshot)
		asked := step(1.2)
		asked.Rid = 7
		batch := batchOf(asked)
		batch.Steps, batch.StepsBefore = stepsOf(step(1.1), step(1.3)), c.before
		g.send(&roomv1.AttachRequest{Body: &roomv1.AttachRequest_Inputs_{Inputs: batch}})
		d, _ := g.next(clientv1.ServerBodyStateBatch)
		if at := viewOf(d).States[0].Position.X; at != c.ends {
			t.Errorf("%s: it is at %v, not %v", name, at, c.ends)
		}
	}
}
