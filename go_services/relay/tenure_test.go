package relay

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"github.com/worldmesh/worldmesh/go_services/relay/store"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// farPeer is a relay that answers after a while, and this one, unless it does not reach the mesh.
type farPeer struct {
	roomv1.RoomServiceClient
	after  time.Duration
	cutOff bool
}

func (p farPeer) GetRelay(
	ctx context.Context, _ *roomv1.GetRelayRequest, _ ...grpc.CallOption,
) (*roomv1.GetRelayResponse, error) {
	if p.cutOff {
		return nil, kit.Unavailable("nobody listens")
	}
	if md, _ := metadata.FromOutgoingContext(ctx); md.Get(kit.HeaderHost)[0] == "relay-a" {
		return &roomv1.GetRelayResponse{RelayId: "relay-a"}, nil
	}
	if err := kit.Sleep(ctx, p.after); err != nil {
		return nil, err
	}
	return &roomv1.GetRelayResponse{RelayId: "relay-b", Incarnation: "1"}, nil
}

func (p farPeer) ask(t *testing.T, incarnation string) (alive bool, err error) {
	t.Helper()
	tenure := &tenure{me: store.Owner{Relay: "relay-a", Address: "relay-a"}, relays: p}
	alive, _, err = tenure.answers(t.Context(), "room_a", store.Owner{Relay: "relay-b", Incarnation: incarnation, Address: "relay-b"})
	return alive, err
}

func TestAnOwnerThatIsFarAwayLives(t *testing.T) {
	for after, lives := range map[time.Duration]bool{0: true, 400 * time.Millisecond: true, time.Second: false} {
		synctest.Test(t, func(t *testing.T) {
			if alive, err := (farPeer{after: after}).ask(t, "1"); alive != lives || err != nil {
				t.Errorf("one that answers after %v lives: %v, %v", after, alive, err)
			}
		})
	}
	t.Run("another start of it does not", func(t *testing.T) {
		if alive, err := (farPeer{}).ask(t, "2"); alive || err != nil {
			t.Errorf("it lives: %v, %v", alive, err)
		}
	})
}

func TestWhoDoesNotReachTheMeshTakesNobodyForDead(t *testing.T) {
	if _, err := (farPeer{cutOff: true}).ask(t, "1"); !errors.Is(err, errCutOff) {
		t.Errorf("it says %v", err)
	}
}

// roomless is the tenure of a relay that has no rooms.
func roomless(rooms store.Store, world *eras) *tenure {
	return &tenure{
		me: store.Owner{Relay: "relay-a", Incarnation: "1", Address: "relay-a"}, lease: 18 * time.Second, store: rooms, world: world,
		relays: farPeer{}, log: slog.New(slog.DiscardHandler), load: func() (int, bool) { return 0, false }, oldest: func() uint64 { return 0 },
	}
}

func TestOneOfManyRelaysMovesTheEraOn(t *testing.T) {
	world, rooms := &eras{}, store.NewMemory(time.Now)
	relays := []*tenure{roomless(rooms, world), roomless(rooms, world), roomless(rooms, world)}
	renew := func() {
		for _, tenure := range relays {
			if err := tenure.renew(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	renew()
	before := world.era.Load()
	rooms.Forget()
	for _, tenure := range relays {
		if err := tenure.forgotten(t.Context(), before); err != nil || tenure.currentEra() != before+1 {
			t.Errorf("it is in era %d after %d: %v", tenure.currentEra(), before, err)
		}
	}
	renew()
	if err := relays[0].forgotten(t.Context(), before+1); err != nil || relays[0].currentEra() != before+2 {
		t.Errorf("what is forgotten in the new era moves it on to %d: %v", relays[0].currentEra(), err)
	}
}

func TestWhoHasMissedAnEraMovesOnFromTheNewest(t *testing.T) {
	begin := func(t *testing.T) (*eras, *store.Memory, *tenure, uint64) {
		world, rooms := &eras{}, store.NewMemory(time.Now)
		tenure := roomless(rooms, world)
		if err := tenure.renew(t.Context()); err != nil {
			t.Fatal(err)
		}
		return world, rooms, tenure, world.era.Load()
	}
	t.Run("that the store has forgotten, too", func(t *testing.T) {
		world, rooms, late, era := begin(t)
		other := roomless(rooms, world)
		rooms.Forget()
		if err := other.renew(t.Context()); err != nil {
			t.Fatal(err)
		}
		forgotten := other.currentEra()
		rooms.Forget()
		if err := late.renew(t.Context()); err != nil || late.currentEra() <= forgotten {
			t.Errorf("it moves on from %d to %d, and %d is forgotten: %v", era, late.currentEra(), forgotten, err)
		}
	})
	t.Run("that the store is told of in a moment", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			world, rooms, late, era := begin(t)
			rooms.Forget()
			world.era.Add(1) // another does
			time.AfterFunc(yieldTime/2, func() {
				renewal, _ := rooms.Renew(t.Context(), store.Relay{ID: "relay-b"}, time.Minute)
				_ = rooms.SetEra(t.Context(), era+1, renewal.ReplicationID, false)
			})
			if err := late.renew(t.Context()); err != nil || late.currentEra() != era+1 || world.era.Load() != era+1 {
				t.Errorf("it moves on from %d to %d: %v", era, late.currentEra(), err)
			}
		})
	})
}

func TestAnOrdinaryStartIsNoFailOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		world, rooms := &eras{}, store.NewMemory(time.Now)
		tenure := roomless(rooms, world)
		tenure.log = slog.New(slog.NewTextHandler(&said, nil))
		world.down.Store(true)
		time.AfterFunc(patience/2, func() { world.down.Store(false) })
		if err := tenure.begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		if text := said.String(); strings.Contains(text, "has moved on") || strings.Contains(text, "waiting") {
			t.Errorf("it says %q", text)
		}
		rooms.FailOver(rooms.Save())
		if err := tenure.renew(t.Context()); err != nil {
			t.Fatal(err)
		}
		if text := said.String(); !strings.Contains(text, "has moved on") {
			t.Errorf("of a fail-over it says %q", text)
		}
	})
}

// awayStore does not renew leases for a while.
type awayStore struct {
	store.Store
	away atomic.Bool
}

func (s *awayStore) Renew(ctx context.Context, relay store.Relay, lease time.Duration) (store.Renewal, error) {
	if s.away.Load() {
		return store.Renewal{}, errBroken
	}
	return s.Store.Renew(ctx, relay, lease)
}

func TestAStoreThatIsAwayForTenSecondsCostsNoRelayItsLease(t *testing.T) {
	for _, after := range []time.Duration{0, 600 * time.Millisecond, 1300 * time.Millisecond, 1800 * time.Millisecond, 2200 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			rooms := &awayStore{Store: store.NewMemory(time.Now)}
			tenure := &tenure{
				me: store.Owner{Relay: "relay-a", Incarnation: "1"}, lease: 18 * time.Second, store: rooms, world: &eras{},
				log: slog.New(slog.DiscardHandler),
			}
			h := newHub(t.Context(), tenure, time.Minute, newMetrics(prometheus.NewRegistry()), tenure.log)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() { _ = h.keepLease(ctx) }()
			synctest.Wait() // the lease is held from now on
			time.Sleep(after)
			rooms.away.Store(true)
			time.AfterFunc(10*time.Second, func() { rooms.away.Store(false) })
			for range 200 {
				if time.Sleep(100 * time.Millisecond); !tenure.valid(time.Now()) {
					t.Fatalf("away %v after a renewal: the relay may own nothing", after)
				}
			}
		})
	}
}

func TestARelayThatWaitsForLongForItsLeaseSaysSoOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		world := &eras{}
		tenure := roomless(store.NewMemory(time.Now), world)
		tenure.log = slog.New(slog.NewTextHandler(&said, nil))
		world.down.Store(true)
		time.AfterFunc(3*patience, func() { world.down.Store(false) })
		if err := tenure.begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		if text := said.String(); strings.Count(text, "waiting for the lease") != 1 || strings.Count(text, "got the lease") != 1 {
			t.Errorf("it says %q", text)
		}
	})
}

func TestManyWhoAskTheSameAreToldTogether(t *testing.T) {
	for _, fails := range []error{nil, errBroken} {
		var l lookout
		var asked atomic.Int32
		answered := false // l's lock guards it
		var group sync.WaitGroup
		for range 100 {
			group.Go(func() {
				err := l.once(func() bool { return answered }, func() error {
					asked.Add(1)
					time.Sleep(200 * time.Millisecond) // until all have come
					answered = fails == nil
					return fails
				})
				if !errors.Is(err, fails) {
					t.Errorf("told %v", err)
				}
			})
		}
		group.Wait()
		if n := asked.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}
		_ = l.once(func() bool { return false }, func() error { asked.Add(1); return nil })
		if asked.Load() != 2 {
			t.Error("who comes later is told the old answer")
		}
	}
}

func TestRoomsThatAreGivenAwayAreSpread(t *testing.T) {
	tenure := &tenure{me: store.Owner{Relay: "relay-a"}, peers: []store.Relay{
		{ID: "relay-a", Address: "a"}, {ID: "relay-b", Address: "b", Rooms: 4}, {ID: "relay-c", Address: "c", Rooms: 7},
		{ID: "relay-d", Address: "d", Draining: true},
	}}
	got := map[string]int{}
	for _, to := range tenure.spread(9) {
		got[to]++
	}
	if want := map[string]int{"b": 6, "c": 3}; !maps.Equal(got, want) {
		t.Errorf("they go to %v", got)
	}
	tenure.peers = tenure.peers[:1]
	if to := tenure.spread(2); len(to) != 2 || to[0] != "" || to[1] != "" {
		t.Errorf("without others they go to %v", to)
	}
}

func TestALeaseThatIsLateIsSaidOnceAndWhenItIsBack(t *testing.T) {
	var said bytes.Buffer
	var cut atomic.Bool
	h := quietHub()
	h.log = slog.New(slog.NewTextHandler(&said, nil))
	h.tenure.me.Relay, h.tenure.world, h.tenure.store = "relay-a", &eras{}, faulty{Store: h.tenure.store, cut: &cut}
	for range 2 {
		for _, down := range []bool{true, false} {
			cut.Store(down)
			for range 3 {
				h.renew(t.Context())
			}
		}
	}
	lines := strings.Split(strings.TrimSpace(said.String()), "\n")
	for i, line := range lines {
		if want := []string{"the lease can not be renewed", "the lease is renewed again"}[i%2]; !strings.Contains(line, want) {
			t.Errorf("line %d is %q", i+1, line)
		}
	}
	if len(lines) != 4 {
		t.Errorf("%d lines are said", len(lines))
	}
}

func TestARoomIsNewWhenAllWhoMayHaveItHaveToldOfTheirs(t *testing.T) {
	const begun, slow = 2500 * time.Millisecond, 7 * time.Second
	for name, c := range map[string]struct {
		peer  store.Relay
		comes time.Duration // when it renews its lease, which the store has forgotten
		tells time.Duration // when it has told the store of all its rooms; 0: never
		waits time.Duration
	}{
		"nobody else has rooms":                  {store.Relay{ID: "relay-b"}, 0, 0, begun},
		"another has told of all of its rooms":   {store.Relay{ID: "relay-b", Incarnation: "1", Era: 3}, 0, 0, begun},
		"another has so many that it takes":      {store.Relay{ID: "relay-b", Incarnation: "1", Era: 2}, 0, slow, slow},
		"another is heard of late, and has many": {store.Relay{ID: "relay-b", Incarnation: "1", Era: 2}, 1500 * time.Millisecond, slow, slow},
		"another has died before it could tell":  {store.Relay{ID: "relay-b", Incarnation: "1", Era: 2}, 0, 0, silence},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rooms := store.NewMemory(time.Now)
				tenure := roomless(rooms, &eras{})
				tenure.oldest = func() uint64 { return 2 } // its own do not matter: it would know if it had the room
				renewal, err := rooms.Renew(t.Context(), store.Relay{ID: "relay-c"}, time.Millisecond)
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				var renew func()
				renew = func() {
					told := c.peer
					if c.tells > 0 && time.Since(began) >= c.tells {
						told.Era = 3
					}
					_, _ = rooms.Renew(t.Context(), told, tenure.lease)
					if c.tells > 0 { // else it is the last that is heard of it
						time.AfterFunc(tenure.soon(), renew)
					}
				}
				time.AfterFunc(c.comes, renew)
				synctest.Wait()
				if err := rooms.SetEra(t.Context(), 3, renewal.ReplicationID, false); err != nil {
					t.Fatal(err)
				}
				if err := tenure.settled(t.Context()); err != nil {
					t.Fatal(err)
				}
				if waited := time.Since(began); waited < c.waits || waited > c.waits+2*tenure.soon() {
					t.Errorf("it waits %v", waited)
				}
			})
		})
	}
}

func TestAStoreThatForgetsOnceMoreIsWaitedForOnceMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rooms := store.NewMemory(time.Now)
		tenure := roomless(rooms, &eras{})
		for range 2 { // the first era of all is one in which nobody has a room
			rooms.Forget()
			if err := tenure.renew(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		time.AfterFunc(2*time.Second, rooms.Forget)
		began := time.Now()
		if err := tenure.settled(t.Context()); err != nil {
			t.Fatal(err)
		}
		// It learns of that when it renews at the end of the first wait.
		if waited, want := time.Since(began), 2*(tenure.interval()+tellTime); waited != want {
			t.Errorf("it waits %v, not %v", waited, want)
		}
	})
}

// lateStore answers a renewal late that it has looked at in time.
type lateStore struct {
	store.Store
	by atomic.Int64 // ns; the next one only
}

func (s *lateStore) Renew(ctx context.Context, relay store.Relay, lease time.Duration) (store.Renewal, error) {
	by := time.Duration(s.by.Swap(0))
	renewal, err := s.Store.Renew(ctx, relay, lease)
	time.Sleep(by)
	return renewal, err
}

func TestARenewalThatIsAnsweredLateUndoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world, rooms := &eras{}, store.NewMemory(time.Now)
		late := &lateStore{Store: rooms}
		tenure := roomless(late, world)
		if err := tenure.renew(t.Context()); err != nil {
			t.Fatal(err)
		}
		late.by.Store(int64(time.Second))
		answered := make(chan error)
		go func() { answered <- tenure.renew(t.Context()) }()
		synctest.Wait()
		rooms.Forget()
		time.Sleep(time.Second / 2)
		if err := tenure.renew(t.Context()); err != nil {
			t.Fatal(err)
		}
		tenure.mu.Lock()
		era, moved, renewed := tenure.era, tenure.moved, tenure.renewed
		tenure.mu.Unlock()
		if err := <-answered; err != nil {
			t.Fatal(err)
		}
		if tenure.era != era || world.era.Load() != era || tenure.moved != moved || tenure.renewed != renewed {
			t.Errorf("era %d (world's %d) in place of %d, renewed %v before", tenure.era, world.era.Load(), era, renewed.Sub(tenure.renewed))
		}
	})
}

func TestAClaimBelievesNoRenewalThatBeganBeforeIt(t *testing.T) {
	rooms := store.NewMemory(time.Now)
	late := &lateStore{Store: rooms}
	tenure := roomless(late, &eras{})
	tenure.lease = time.Second
	for range 2 { // the first era of all is one in which nobody has a room
		rooms.Forget()
		if err := tenure.renew(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := tenure.settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := tenure.currentEra()
	late.by.Store(int64(200 * time.Millisecond))
	first := make(chan error)
	go func() { first <- tenure.settled(t.Context()) }()
	until(t, "the first has asked", func() bool { return late.by.Load() == 0 })
	rooms.Forget()
	if err := tenure.settled(t.Context()); err != nil || tenure.currentEra() != before+1 {
		t.Errorf("era %d after %d: %v", tenure.currentEra(), before, err)
	}
	if err := <-first; err != nil {
		t.Error(err)
	}
}

func TestAWorldThatWasPutBackGivesOutNoEraOnceMore(t *testing.T) {
	world, rooms := &eras{}, store.NewMemory(time.Now)
	tenure := roomless(rooms, world)
	for range 3 {
		rooms.Forget()
		if err := tenure.renew(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	before := tenure.currentEra()
	world.era.Store(1)
	rooms.FailOver(rooms.Save())
	if err := tenure.renew(t.Context()); err != nil || tenure.currentEra() != before+1 || world.era.Load() != before+1 {
		t.Errorf("era %d (world's %d) after %d: %v", tenure.currentEra(), world.era.Load(), before, err)
	}
}

func TestARelayThatHasRoomsOfAnEarlierEraSaysSoAndRenewsSoon(t *testing.T) {
	h := quietHub()
	h.tenure.era = 1
	if h.oldestEra() != 0 || h.renewsIn() != h.tenure.interval() {
		t.Errorf("without rooms: %d, %v", h.oldestEra(), h.renewsIn())
	}
	live := liveRoomOn(h, "room_a", &roomv1.RoomConfig{Capacity: 3, TickHz: 20})
	h.rooms["room_a"] = &place{live: live}
	live.owner.Epoch = 1 * store.EpochsPerEra
	if h.oldestEra() != 1 || h.renewsIn() != h.tenure.interval() {
		t.Errorf("with one of the present era: %d, %v", h.oldestEra(), h.renewsIn())
	}
	h.tenure.era = 2
	if h.oldestEra() != 1 || h.renewsIn() != h.tenure.soon() {
		t.Errorf("with one of the era before: %d, %v", h.oldestEra(), h.renewsIn())
	}
}

func TestWhoIsSentAwayGoesToAnyOfThoseWhoHaveFewerRooms(t *testing.T) {
	tenure := &tenure{me: store.Owner{Relay: "relay-a"}, peers: []store.Relay{
		{ID: "relay-a"}, {ID: "relay-b", Rooms: 4}, {ID: "relay-c", Rooms: 1}, {ID: "relay-d", Rooms: 9}, {ID: "relay-e", Rooms: 2},
		{ID: "relay-f", Draining: true},
	}}
	got := map[string]bool{}
	for range 100 {
		got[tenure.other().ID] = true
	}
	if want := map[string]bool{"relay-c": true, "relay-e": true}; !maps.Equal(got, want) {
		t.Errorf("they go to %v", got)
	}
	tenure.peers = tenure.peers[:1]
	if to := tenure.other(); to.ID != "" {
		t.Errorf("without others they go to %v", to)
	}
}
