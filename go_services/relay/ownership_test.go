package relay

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"github.com/worldmesh/worldmesh/go_services/relay/room"
	"github.com/worldmesh/worldmesh/go_services/relay/store"
	"google.golang.org/grpc/metadata"
)

// pair is two relays with one store.
type pair struct {
	*store.Memory
	a, b   *relayUnderTest
	broken atomic.Bool
	cut    atomic.Bool // relay-a from the store, as far as its lease goes
	renews atomic.Pointer[func()]
}

func startPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{Memory: store.NewMemory(time.Now)}
	rooms, world, relays := faulty{Store: p.Memory, broken: &p.broken, cut: &p.cut, renews: &p.renews}, &eras{}, peers{}
	p.a = startRelayOn(t, "relay-a", 1<<20, rooms, world, relays)
	p.b = startRelayOn(t, "relay-b", 1<<20, rooms, world, relays)
	return p
}

// die takes a relay from the others' sight, as a crash does: it does not answer, and writes nothing any more.
func (p *pair) die(r *relayUnderTest) {
	r.hub.mu.Lock()
	defer r.hub.mu.Unlock()
	for _, place := range r.hub.rooms {
		place.live.mu.Lock()
		place.live.frozen = true
		place.live.mu.Unlock()
	}
	delete(p.b.hub.tenure.relays.(peers), "relay-a")
}

func seen(epoch, seq uint64) *roomv1.LogPosition { return &roomv1.LogPosition{Epoch: epoch, Seq: seq} }

func rejoin(link uint32, user string, entity uint32) *roomv1.Rejoin {
	return &roomv1.Rejoin{Link: link, Join: joinFor(user), Entity: entity}
}

// event is the next event of a stream.
func (g *gatewayStream) event() (*roomv1.Delivery, *clientv1.RoomEvent) {
	g.t.Helper()
	d, body := g.next(clientv1.ServerBodyRoomEvent)
	var e clientv1.RoomEvent
	e.Init(body.Bytes, body.Pos)
	return d, &e
}

func TestARoomThatIsAtAnotherRelayIsNotHere(t *testing.T) {
	p := startPair(t)
	here := p.a.attach(t, "gateway-0", "room_a")
	_, response := p.b.open(t, "gateway-1", "room_a", nil)
	if m := response.GetMoved(); m.GetRelayAddress() != "relay-a" || m.GetEpoch() != here.opened.GetEpoch() {
		t.Fatalf("the first response is %v", response)
	}
}

func TestWhoIsInIsToldByWhicheverRelayIsAsked(t *testing.T) {
	p := startPair(t)
	a := p.a.attach(t, "gateway-0", "room_a")
	a.join(1, "usr_ann")
	a.next(clientv1.ServerBodySnapshot)
	ctx := metadata.AppendToOutgoingContext(t.Context(), kit.HeaderCaller, "gateway", kit.HeaderRoomID, "room_a")
	for name, relay := range map[string]*relayUnderTest{"the owner": p.a, "another": p.b} {
		live, err := relay.client.GetLiveRoom(ctx, &roomv1.GetLiveRoomRequest{RoomId: "room_a"})
		if err != nil || live.GetRelayId() != "relay-a" || len(live.GetMembers()) != 1 {
			t.Errorf("%s says %v, %v", name, live, err)
		}
	}
}

func TestARelayThatDoesNotAnswerLosesItsRooms(t *testing.T) {
	p := startPair(t)
	a := p.a.attach(t, "gateway-0", "room_a")
	a.join(1, "usr_ann")
	a.next(clientv1.ServerBodySnapshot)
	a.inputs(chat(1, "one"), chat(1, "two"))
	a.event()
	_, two := a.event()
	p.die(p.a)
	b, response := p.b.open(t, "gateway-0", "room_a", seen(two.Epoch(), two.Seq()-1), rejoin(1, "usr_ann", 1))
	if got := response.GetOpened().GetEpoch(); got <= two.Epoch() {
		t.Fatalf("epoch %d after %d", got, two.Epoch())
	}
	if _, again := b.event(); again.Seq() != two.Seq() || again.Epoch() != two.Epoch() {
		t.Errorf("missed %d.%d, not %d.%d", again.Epoch(), again.Seq(), two.Epoch(), two.Seq())
	}
	b.inputs(chat(1, "three"))
	if _, three := b.event(); three.Seq() != two.Seq()+1 || three.Epoch() != response.GetOpened().GetEpoch() {
		t.Errorf("three is %d.%d", three.Epoch(), three.Seq())
	}
	if err := p.Append(t.Context(), "room_a", store.Owner{Relay: "relay-a", Epoch: two.Epoch()}, nil, nil); err == nil {
		t.Error("the relay that was robbed can still write")
	}
}

func TestARepeatIsKnownAfterAFailOverThoughOthersSaidMuchMeanwhile(t *testing.T) {
	const others = room.FewEntries + 100
	p := startPair(t)
	a := p.a.attach(t, "gateway-0", "room_a")
	a.join(1, "usr_ann")
	a.join(2, "usr_ben")
	a.next(clientv1.ServerBodySnapshot)
	a.next(clientv1.ServerBodySnapshot)
	once := chat(1, "hello")
	once.GetChat().ClientMessageId = "m1"
	a.inputs(once)
	for range others {
		a.inputs(chat(2, "hello"))
	}
	_, first := a.event()
	for range others {
		a.event()
	}
	p.die(p.a)
	b, _ := p.b.open(
		t, "gateway-0", "room_a", seen(first.Epoch(), first.Seq()), rejoin(1, "usr_ann", 1), rejoin(2, "usr_ben", 2))
	for n := range uint64(others) {
		if _, missed := b.event(); missed.Seq() != first.Seq()+n+1 {
			t.Fatalf("was told %d, not %d", missed.Seq(), first.Seq()+n+1)
		}
	}
	b.inputs(once, chat(2, "and now?"))
	if _, e := b.event(); !strings.Contains(string(e.Table().Bytes), "and now?") {
		t.Error("a repeat was said again")
	}
}

func TestARelayThatLearnsThatItWasRobbedSendsItsGatewaysAway(t *testing.T) {
	p := startPair(t)
	a := p.a.attach(t, "gateway-0", "room_a")
	a.join(1, "usr_ann")
	a.next(clientv1.ServerBodySnapshot)
	claim := store.ClaimRequest{Room: "room_a", Owner: store.Owner{Relay: "relay-b"}, StealAfter: a.opened.GetEpoch()}
	if c, err := p.Claim(t.Context(), claim); err != nil || !c.Granted {
		t.Fatalf("claimed %v, %v", c, err)
	}
	a.inputs(chat(1, "does anybody hear me?"))
	for {
		response, err := a.rpc.Recv()
		if err != nil {
			t.Fatalf("the stream ended with %v", err)
		}
		for _, d := range response.GetDeliveries().GetDeliveries() {
			if d.GetChannel() == roomv1.Channel_CHANNEL_ORDERED {
				t.Fatal("something was delivered that is not in the log")
			}
		}
		if response.GetMoved() != nil {
			break
		}
	}
	until(t, "the room is over", func() bool { return p.a.hub.find("room_a") == nil })
}

func TestARelayThatHasLostItsLeaseSendsGatewaysToOneThatTakesItsRooms(t *testing.T) {
	p := startPair(t)
	a := p.a.attach(t, "gateway-0", "room_a")
	a.join(1, "usr_ann")
	a.next(clientv1.ServerBodySnapshot)
	p.cut.Store(true)
	lease := p.a.hub.tenure
	lease.mu.Lock()
	lease.renewed, lease.peers = time.Time{}, []store.Relay{{ID: "relay-a"}, {ID: "relay-b", Address: "relay-b"}}
	lease.mu.Unlock()
	until(t, "the room is over", func() bool { return p.a.hub.find("room_a") == nil })
	_, response := p.a.open(t, "gateway-0", "room_a", seen(a.opened.GetEpoch(), 1), rejoin(1, "usr_ann", 1))
	if response.GetMoved().GetRelayAddress() != "relay-b" {
		t.Fatalf("the first response is %v", response)
	}
	b, response := p.b.open(t, "gateway-0", "room_a", seen(a.opened.GetEpoch(), 1), rejoin(1, "usr_ann", 1))
	if response.GetOpened().GetEpoch() <= a.opened.GetEpoch() {
		t.Fatalf("the first response is %v", response)
	}
	b.inputs(chat(1, "here"))
	if _, e := b.event(); e.Seq() != 2 {
		t.Errorf("the event after the join is %d", e.Seq())
	}
}

func TestARelayThatEndsGivesItsRoomsAwayWithoutLosingAWord(t *testing.T) {
	p := startPair(t)
	a := p.a.attach(t, "gateway-0", "room_a")
	a.join(1, "usr_ann")
	a.next(clientv1.ServerBodySnapshot)
	a.inputs(chat(1, "one"))
	_, one := a.event()
	p.a.hub.tenure.peers = []store.Relay{{ID: "relay-a"}, {ID: "relay-b", Address: "relay-b"}}
	go p.a.stop()
	var moved *roomv1.AttachResponse_Moved
	for moved == nil {
		response, err := a.rpc.Recv()
		if err != nil {
			t.Fatalf("the stream ended with %v", err)
		}
		moved = response.GetMoved()
	}
	if moved.GetRelayAddress() != "relay-b" {
		t.Errorf("sent to %q", moved.GetRelayAddress())
	}
	b, response := p.b.open(t, "gateway-0", "room_a", seen(one.Epoch(), one.Seq()), rejoin(1, "usr_ann", 1))
	if response.GetOpened() == nil {
		t.Fatalf("the first response is %v", response)
	}
	b.inputs(chat(1, "two"))
	if _, two := b.event(); two.Seq() != one.Seq()+1 {
		t.Errorf("two is %d.%d", two.Epoch(), two.Seq())
	}
}

func TestWhileTheLogCanNotBeWrittenToStepsGoOnAndNothingElseIsTaken(t *testing.T) {
	p := startPair(t)
	a := p.a.attach(t, "gateway-0", "room_a")
	a.join(1, "usr_ann")
	a.next(clientv1.ServerBodySnapshot)
	p.a.hub.mu.Lock()
	live := p.a.hub.rooms["room_a"].live
	p.a.hub.mu.Unlock()
	var said bytes.Buffer // the room's lock guards it
	live.locked(func() { live.log = slog.New(slog.NewTextHandler(&said, nil)) })
	p.broken.Store(true)
	a.inputs(chat(1, "in flight"))
	refused := chat(1, "refused")
	refused.Number = 999
	for limit := time.Now().Add(10 * time.Second); ; {
		a.inputs(chat(1, "in flight, too"))
		if p.a.appendFailed() {
			break
		}
		if time.Now().After(limit) {
			t.Fatal("nothing fails")
		}
		time.Sleep(time.Millisecond)
	}
	a.inputs(refused)
	d, body := a.next(clientv1.ServerBodyError)
	for d.GetAnswered() == 0 {
		d, body = a.next(clientv1.ServerBodyError)
	}
	var e clientv1.Error
	e.Init(body.Bytes, body.Pos)
	if string(e.Reason()) != "LOG_UNAVAILABLE" || e.RetryAfterMs() == 0 || d.GetAnswered() != 999 {
		t.Errorf("refused with %s, retry after %d ms", e.Reason(), e.RetryAfterMs())
	}
	a.inputs(step(1.5))
	a.next(clientv1.ServerBodyStateBatch)
	p.broken.Store(false)
	until(t, "it takes words again", func() bool {
		a.inputs(chat(1, "after"))
		return !p.a.waits()
	})
	until(t, "it says so", func() (told bool) {
		live.locked(func() { told = strings.Contains(said.String(), "can be written to again") })
		return told
	})
	live.locked(func() {
		if text := said.String(); strings.Count(text, "can not be written to") != 1 || strings.Count(text, "\n") != 2 {
			t.Errorf("it says %q", text)
		}
	})
}

func TestAStoreThatForgetsEverythingLearnsItAgainInANewEra(t *testing.T) {
	p := startPair(t)
	a := p.a.attach(t, "gateway-0", "room_a")
	a.join(1, "usr_ann")
	a.next(clientv1.ServerBodySnapshot)
	a.inputs(chat(1, "one"))
	_, one := a.event()
	p.Forget()
	a.inputs(chat(1, "two"))
	if _, two := a.event(); two.Seq() != one.Seq()+1 {
		t.Errorf("two is %d.%d after %d.%d", two.Epoch(), two.Seq(), one.Epoch(), one.Seq())
	}
	owners, err := p.Owners(t.Context(), []string{"room_a"})
	if err != nil || owners["room_a"].Owner.Epoch/store.EpochsPerEra <= one.Epoch()/store.EpochsPerEra {
		t.Errorf("owned in %v, %v", owners, err)
	}
	p.die(p.a)
	b, response := p.b.open(t, "gateway-0", "room_a", seen(one.Epoch(), one.Seq()-1), rejoin(1, "usr_ann", 1))
	if response.GetOpened() == nil {
		t.Fatalf("the first response is %v", response)
	}
	for seq := one.Seq(); seq <= one.Seq()+1; seq++ {
		if _, e := b.event(); e.Seq() != seq {
			t.Errorf("%d.%d instead of %d", e.Epoch(), e.Seq(), seq)
		}
	}
}

func TestOfAStoreThatHasForgottenEverythingNobodyGetsARoomThatAnotherHas(t *testing.T) {
	p := startPair(t)
	a := p.a.attach(t, "gateway-0", "room_a")
	a.join(1, "usr_ann")
	a.next(clientv1.ServerBodySnapshot)
	a.inputs(chat(1, "one"))
	_, one := a.event()
	p.Forget()
	if _, response := p.b.open(t, "gateway-1", "room_a", nil); response.GetMoved().GetRelayAddress() != "relay-a" {
		t.Fatalf("another relay says %v", response)
	}
	a.inputs(chat(1, "two"))
	if _, two := a.event(); two.Seq() != one.Seq()+1 {
		t.Errorf("two is %d.%d after %d.%d", two.Epoch(), two.Seq(), one.Epoch(), one.Seq())
	}
}

func TestAStoreThatForgetsWhoHasARoomGivesItToNobodyElse(t *testing.T) {
	p := startPair(t)
	p.b.attach(t, "gateway-1", "room_a")
	p.b.hub.find("room_a").giveAway(t.Context(), "", endRebalanced)
	released := p.Save()
	a := p.a.attach(t, "gateway-0", "room_a")
	a.join(1, "usr_ann")
	a.next(clientv1.ServerBodySnapshot)
	a.inputs(chat(1, "one"))
	_, one := a.event()
	p.FailOver(released)
	if _, response := p.b.open(t, "gateway-2", "room_a", nil); response.GetMoved().GetRelayAddress() != "relay-a" {
		t.Fatalf("another relay says %v", response)
	}
	a.inputs(chat(1, "two"))
	if _, two := a.event(); two.Seq() != one.Seq()+1 {
		t.Errorf("two is %d.%d after %d.%d", two.Epoch(), two.Seq(), one.Epoch(), one.Seq())
	}
}

func TestAStoreThatForgetsAWordUnseenLearnsItAgainThoughNobodySaysAnother(t *testing.T) {
	p := startPair(t)
	a := p.a.attach(t, "gateway-0", "room_a")
	a.join(1, "usr_ann")
	a.next(clientv1.ServerBodySnapshot)
	a.inputs(chat(1, "one"))
	a.event()
	before := p.Save()
	a.inputs(chat(1, "two"))
	_, two := a.event()
	p.FailOverUnseen(before)
	p.a.hub.checkOwners(t.Context(), p.a.hub.all(), true)
	until(t, "the store knows", func() bool {
		owners, err := p.Owners(t.Context(), []string{"room_a"})
		owned := owners["room_a"]
		return err == nil && owned.Last.Seq == two.Seq() && owned.Owner.Epoch > two.Epoch()
	})
}

// slowRelease is a store that gives rooms back when it may.
type slowRelease struct {
	store.Store
	may chan struct{}
}

func (s slowRelease) Release(ctx context.Context, id string, owner store.Owner, last frames.LogPosition) error {
	<-s.may
	return s.Store.Release(ctx, id, owner, last)
}

func TestTheLeaseIsHeldUntilAllRoomsAreGivenAway(t *testing.T) {
	p := startPair(t)
	p.a.attach(t, "gateway-0", "room_a")
	may, renewed := make(chan struct{}), make(chan struct{}, 100)
	letGo := sync.OnceFunc(func() { close(may) })
	defer letGo()
	p.a.hub.tenure.store = slowRelease{p.a.hub.tenure.store, may}
	p.a.stop()
	until(t, "it drains", func() bool {
		_, draining := p.a.hub.load()
		return draining
	})
	renews := func() { renewed <- struct{}{} }
	p.renews.Store(&renews)
	for range 2 { // one of them is the drain's
		select {
		case <-renewed:
		case <-time.After(4 * p.a.hub.tenure.interval()):
			t.Fatal("it is not renewed")
		}
	}
	letGo()
	until(t, "the lease is given up", func() bool {
		renewal, err := p.Memory.Renew(t.Context(), store.Relay{ID: "relay-c"}, time.Millisecond)
		return err == nil && !slices.ContainsFunc(renewal.Peers, func(r store.Relay) bool { return r.ID == "relay-a" })
	})
}

func TestRoomsForWhichADrainHasNoTimeEnd(t *testing.T) {
	h := quietHub()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range 20 {
		id := fmt.Sprint("room_", i)
		h.rooms[id] = &place{live: liveRoomOn(h, id, &roomv1.RoomConfig{Capacity: 3, TickHz: 20})}
	}
	h.drain(ctx)
	if left := h.all(); len(left) > 0 {
		t.Errorf("%d go on", len(left))
	}
}

func TestARelayThatHearsNothingOfTheStoreEndsItsRooms(t *testing.T) {
	p := startPair(t)
	p.a.attach(t, "gateway-0", "room_a")
	p.a.hub.tenure.mu.Lock()
	p.a.hub.tenure.renewed = time.Now().Add(-p.a.hub.tenure.lease * 2 / 3)
	p.a.hub.tenure.mu.Unlock()
	p.a.hub.sweep(context.Background())
	if p.a.hub.find("room_a") != nil {
		t.Error("the room goes on")
	}
}

func TestARelayWhoseRenewalHangsEndsItsRoomsInTime(t *testing.T) {
	p := startPair(t)
	p.a.attach(t, "gateway-0", "room_a")
	hangs, goesOn := make(chan struct{}, 1), make(chan struct{})
	hang := func() {
		hangs <- struct{}{}
		<-goesOn
	}
	p.renews.Store(&hang)
	t.Cleanup(func() {
		p.renews.Store(nil)
		close(goesOn)
	})
	<-hangs
	p.a.hub.tenure.mu.Lock()
	p.a.hub.tenure.renewed = time.Now().Add(-p.a.hub.tenure.lease * 2 / 3)
	p.a.hub.tenure.mu.Unlock()
	until(t, "the room is over", func() bool { return p.a.hub.find("room_a") == nil })
}

func TestWorldIsNotAskedForEachOfTheRoomsThatAStoreHasForgotten(t *testing.T) {
	p := startPair(t)
	world, _ := p.a.hub.tenure.world.(*eras)
	for _, id := range []string{"room_a", "room_b", "room_c"} {
		p.a.attach(t, "gateway-0", id)
	}
	p.Forget()
	world.down.Store(true)
	before := world.asked.Load()
	p.a.hub.checkOwners(t.Context(), p.a.hub.all(), true)
	if asked := world.asked.Load() - before; asked >= 3 { // one may be the renewal's
		t.Errorf("asked %d times", asked)
	}
	world.down.Store(false)
}

// countingClaims takes a while for each room that is claimed again.
type countingClaims struct {
	store.Store
	mu        sync.Mutex
	now, most int
}

func (s *countingClaims) Claim(ctx context.Context, q store.ClaimRequest) (store.Claim, error) {
	s.count(1)
	defer s.count(-1)
	time.Sleep(10 * time.Millisecond)
	return s.Store.Claim(ctx, q)
}

func (s *countingClaims) count(more int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now += more
	s.most = max(s.most, s.now)
}

func TestFewRoomsAreClaimedAgainAtTheSameTime(t *testing.T) {
	h := quietHub()
	rooms := make([]*liveRoom, 5*claimsAtOnce)
	for i := range rooms {
		rooms[i] = liveRoomOn(h, fmt.Sprint("room_", i), &roomv1.RoomConfig{Capacity: 3, TickHz: 20})
	}
	counting := &countingClaims{Store: h.tenure.store}
	h.tenure.store = counting
	for _, l := range rooms {
		l.wantEra(7)
	}
	for _, l := range rooms {
		until(t, "it is claimed again", func() bool { return l.epoch()/store.EpochsPerEra == 7 })
	}
	if counting.most != claimsAtOnce {
		t.Errorf("%d at once", counting.most)
	}
}

// deafStore does not tell who owns one of the rooms, nor, while it hangs, anything of any.
type deafStore struct {
	store.Store
	about string
	hangs bool
}

func (s *deafStore) Owners(ctx context.Context, rooms []string) (map[string]store.Ownership, error) {
	if s.hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	owners, _ := s.Store.Owners(ctx, rooms)
	delete(owners, s.about)
	return owners, errBroken
}

func TestRoomsAreLookedAfterThoughTheStoreDoesNotTellOfOthers(t *testing.T) {
	h := quietHub()
	rooms := []*liveRoom{}
	for _, id := range []string{"room_a", "room_b"} {
		rooms = append(rooms, liveRoomOn(h, id, &roomv1.RoomConfig{Capacity: 3, TickHz: 20}))
		thief := store.ClaimRequest{Room: id, Owner: store.Owner{Relay: "relay-1", Incarnation: "1"}, StealAfter: rooms[len(rooms)-1].epoch()}
		if claim, err := h.tenure.store.Claim(t.Context(), thief); err != nil || !claim.Granted {
			t.Fatal(claim, err)
		}
	}
	h.tenure.store = &deafStore{Store: h.tenure.store, about: "room_a"}
	if h.checkOwners(t.Context(), rooms, true) {
		t.Error("it is sure of all")
	}
	ended := func(l *liveRoom) (is bool) {
		l.locked(func() { is = l.ended })
		return is
	}
	if ended(rooms[0]) || !ended(rooms[1]) {
		t.Errorf("ended: %v and %v", ended(rooms[0]), ended(rooms[1]))
	}
}

func TestAGatewayGetsIntoARoomThoughTheStoreDoesNotAnswer(t *testing.T) {
	h := quietHub()
	h.tenure.renewed = time.Now()
	open := &roomv1.AttachRequest_Open{RoomId: "room_a", GatewayId: "gateway-0", Config: &roomv1.RoomConfig{Capacity: 3, TickHz: 20}}
	attach := func(ctx context.Context) error {
		_, _, _, err := h.attach(ctx, open, func(id uint64) *stream { return newStream(id, "gateway-0", 1<<20, func(error) {}) })
		return err
	}
	if err := attach(t.Context()); err != nil {
		t.Fatal(err)
	}
	live := h.find("room_a")
	live.locked(func() { live.confirmed = time.Now().Add(-2 * confirmTime) })
	h.tenure.store = &deafStore{Store: h.tenure.store, hangs: true}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // a gateway waits for no longer
	defer cancel()
	if err := attach(ctx); err != nil || ctx.Err() != nil {
		t.Errorf("%v, and for the gateway it is over: %v", err, ctx.Err())
	}
}

func TestWhoAttachesIsNotKeptUntilTheEraHasMovedOn(t *testing.T) {
	h := leasedHub(t)
	live, err := h.open(t.Context(), "room_a", &roomv1.RoomConfig{Capacity: 3, TickHz: 20})
	if err != nil {
		t.Fatal(err)
	}
	live.locked(func() { live.confirmed = time.Now().Add(-2 * confirmTime) })
	h.tenure.store.(*store.Memory).Forget()
	before := h.tenure.currentEra()
	open := &roomv1.AttachRequest_Open{RoomId: "room_a", GatewayId: "gateway-0"}
	_, _, _, err = h.attach(t.Context(), open, func(id uint64) *stream { return newStream(id, "gateway-0", 1<<20, func(error) {}) })
	if err != nil || h.tenure.currentEra() != before {
		t.Errorf("%v, and the era is %d after %d", err, h.tenure.currentEra(), before)
	}
	if h.checkOwners(t.Context(), []*liveRoom{live}, true); h.tenure.currentEra() == before {
		t.Error("it is not moved on when the rooms are looked after")
	}
}

func TestAStoreThatTellsNothingIsSaidOnceInAWhile(t *testing.T) {
	h := quietHub()
	var said bytes.Buffer
	h.log = slog.New(slog.NewTextHandler(&said, nil))
	rooms := []*liveRoom{liveRoomOn(h, "room_a", &roomv1.RoomConfig{Capacity: 3, TickHz: 20})}
	h.tenure.store = &deafStore{Store: h.tenure.store, about: "room_a"}
	for range 3 {
		h.checkOwners(t.Context(), rooms, true)
	}
	if lines := strings.Count(said.String(), "\n"); lines != 1 || !strings.Contains(said.String(), "rooms=1 told=0") {
		t.Errorf("it says\n%s", said.String())
	}
}

func TestADrainWaitsForARoomThatIsGivenAwayAlready(t *testing.T) {
	h := leasedHub(t)
	live := liveRoomOn(h, "room_a", &roomv1.RoomConfig{Capacity: 3, TickHz: 20})
	h.rooms["room_a"] = &place{live: live}
	may := make(chan struct{})
	h.tenure.store = slowRelease{h.tenure.store, may}
	rebalanced, drained := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(rebalanced)
		live.giveAway(t.Context(), "relay-b", endRebalanced)
	}()
	until(t, "it is given away", func() (is bool) {
		live.locked(func() { is = live.frozen })
		return is
	})
	go func() {
		defer close(drained)
		h.drain(t.Context())
	}()
	select {
	case <-drained:
		t.Error("the drain is over, and the room has not been released")
	case <-time.After(50 * time.Millisecond):
	}
	close(may)
	<-rebalanced
	<-drained
}

func TestNobodyLeavesARoomByTimeWhileItIsGivenAway(t *testing.T) {
	p := startPair(t)
	a := p.a.attach(t, "gateway-0", "room_a")
	a.join(1, "usr_ann")
	a.next(clientv1.ServerBodySnapshot)
	live := p.a.hub.find("room_a")
	live.mu.Lock()
	defer live.mu.Unlock()
	live.core.StreamEnded(live.clock.now().Add(-time.Hour), 1)
	live.frozen = true
	live.mu.Unlock()
	live.idle()
	live.mu.Lock()
	if live.core.Waiting() > 0 || live.core.Len() != 1 {
		t.Errorf("%d are in, and %d entries wait", live.core.Len(), live.core.Waiting())
	}
}

func TestTooManyRoomsAreSharedWithARelayThatHasFew(t *testing.T) {
	tests := []struct {
		mine, other, want int
	}{{0, 0, 0}, {2, 0, 0}, {6, 0, 1}, {100, 0, 10}, {100, 90, 0}, {10, 10, 0}, {40, 4, 4}}
	for _, test := range tests {
		tenure := &tenure{me: store.Owner{Relay: "relay-a"}, peers: []store.Relay{
			{ID: "relay-a", Rooms: test.mine}, {ID: "relay-b", Rooms: test.other}, {ID: "relay-c", Draining: true},
		}}
		if to, count := tenure.spare(test.mine); count != test.want || count > 0 && to.ID != "relay-b" {
			t.Errorf("with %d and %d: %d to %s, not %d", test.mine, test.other, count, to.ID, test.want)
		}
	}
}

func TestRelaysWithTooManyRoomsGiveToDifferentOnes(t *testing.T) {
	var peers []store.Relay
	for i := range 100 { // a zone of 33 has come back
		peers = append(peers, store.Relay{ID: fmt.Sprintf("relay-%02d", i), Rooms: 750 * min(1, i%3)})
	}
	const fair = 495 // 66 × 750 ÷ 100
	for round := range 40 {
		after, moved := slices.Clone(peers), 0
		for i, giver := range peers {
			tenure := &tenure{me: store.Owner{Relay: giver.ID}, peers: peers}
			to, count := tenure.spare(giver.Rooms)
			taker := slices.IndexFunc(peers, func(p store.Relay) bool { return p.ID == to.ID })
			if count > 0 {
				after[i].Rooms, after[taker].Rooms, moved = after[i].Rooms-count, after[taker].Rooms+count, moved+count
			}
		}
		for _, p := range after {
			if was := peers[slices.IndexFunc(peers, func(o store.Relay) bool { return o.ID == p.ID })]; p.Rooms > max(was.Rooms, fair) {
				t.Fatalf("round %d: %s has %d rooms", round, p.ID, p.Rooms)
			}
		}
		if peers = after; moved == 0 {
			break
		}
	}
	for _, p := range peers {
		if p.Rooms > fair+fair/4+2 {
			t.Errorf("%s still has %d rooms", p.ID, p.Rooms)
		}
	}
}

func (r *relayUnderTest) appendFailed() bool {
	live := r.hub.find("room_a")
	live.mu.Lock()
	defer live.mu.Unlock()
	return live.stalling
}

func (r *relayUnderTest) waits() bool { return r.hub.find("room_a").waits() }
