package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/internal/kittest"
	"github.com/worldmesh/worldmesh/go_services/relay/room"
)

// suite is what every Store promises; it is run on both.
var suite = map[string]func(*bench){
	"a room that nobody knows is free, and begins with nothing": func(b *bench) {
		before := nextEpoch(0, 3, time.Now())
		c := b.claim(ClaimRequest{Owner: relayA, Era: 3})
		if !c.Granted || !c.Complete || len(c.Tail)+len(c.Members) > 0 {
			b.Errorf("claimed as %+v", c)
		}
		if after := nextEpoch(0, 3, time.Now()); c.Owner.Epoch < before || c.Owner.Epoch > after {
			b.Errorf("epoch %d is not from %d to %d", c.Owner.Epoch, before, after)
		}
	},
	"a room that is owned is not given away, and its owner is told": func(b *bench) {
		first := b.claim(ClaimRequest{Owner: relayA, Era: 1})
		second := b.claim(ClaimRequest{Owner: relayB, Era: 1})
		if second.Granted || second.Owner != first.Owner {
			b.Errorf("the second claim: %+v", second)
		}
	},
	"an owner that is dead is robbed once, and can write nothing any more": func(b *bench) {
		first := b.claim(ClaimRequest{Owner: relayA, Era: 1})
		b.append(first.Owner, entry(first.Owner.Epoch, 1, 0))
		second := b.claim(ClaimRequest{Owner: relayB, Era: 1, StealAfter: first.Owner.Epoch})
		if !second.Granted || second.Owner.Epoch <= first.Owner.Epoch || second.Last.Seq != 1 || len(second.Tail) != 1 {
			b.Fatalf("the second claim: %+v", second)
		}
		if third := b.claim(ClaimRequest{Owner: relayC, Era: 1, StealAfter: first.Owner.Epoch}); third.Granted {
			b.Error("robbed twice after the same epoch")
		}
		b.refuses(first.Owner, ErrFenced, entry(first.Owner.Epoch, 2, 0))
		b.append(second.Owner, entry(second.Owner.Epoch, 2, 0))
	},
	"a relay that starts again takes what it owned": func(b *bench) {
		first := b.claim(ClaimRequest{Owner: relayA, Era: 1})
		again := relayA
		again.Incarnation = "second life"
		if c := b.claim(ClaimRequest{Owner: again, Era: 1}); !c.Granted || c.Owner.Epoch <= first.Owner.Epoch {
			b.Errorf("claimed as %+v", c)
		}
		b.refuses(first.Owner, ErrFenced, entry(first.Owner.Epoch, 1, 0))
	},
	"a room that was given up is free, and goes on with its numbers and members": func(b *bench) {
		first := b.claim(ClaimRequest{Owner: relayA, Era: 1})
		b.append(first.Owner, joins(entry(first.Owner.Epoch, 1, 0), 1), joins(entry(first.Owner.Epoch, 2, 0), 2))
		b.append(first.Owner, leaves(entry(first.Owner.Epoch, 3, 0), 1))
		if err := b.release(first.Owner, at(first.Owner.Epoch, 4, 0)); !errors.Is(err, ErrForgotten) {
			b.Errorf("given up though the log lacks something: %v", err)
		}
		if err := b.release(first.Owner, at(first.Owner.Epoch, 3, 0)); err != nil {
			b.Fatal(err)
		}
		b.refuses(first.Owner, ErrFenced, entry(first.Owner.Epoch, 4, 0))
		c := b.claim(ClaimRequest{Owner: relayB, Era: 1})
		if !c.Granted || c.Owner.Epoch <= first.Owner.Epoch || c.Last != at(first.Owner.Epoch, 3, 0) || c.LastEntity != 2 {
			b.Errorf("claimed as %+v", c)
		}
		if len(c.Members) != 1 || c.Members[0] != recordOf(2) {
			b.Errorf("members: %+v", c.Members)
		}
	},
	"who takes a room knows for how long members have had no connection": func(b *bench) {
		first := b.claim(ClaimRequest{Owner: relayA, Era: 1}).Owner
		b.tellLost(first, Lost{Entity: 1, For: time.Hour})
		b.append(first, joins(entry(first.Epoch, 1, 0), 1), joins(entry(first.Epoch, 2, 0), 2), joins(entry(first.Epoch, 3, 0), 3))
		b.tellLost(first, Lost{Entity: 2, For: time.Minute}, Lost{Entity: 3})
		b.tellLost(first, Lost{Entity: 3, Back: true})
		second := b.claim(ClaimRequest{Owner: relayB, Era: 1, StealAfter: first.Epoch})
		if l := second.Lost; len(l) != 2 || l[1] < time.Hour || l[1] > time.Hour+time.Minute || l[2] < time.Minute || l[2] > time.Hour {
			b.Errorf("lost: %v", l)
		}
		if err := b.Append(b.ctx, b.room, first, nil, []Lost{{Entity: 3}}); !errors.Is(err, ErrFenced) {
			b.Errorf("told by who does not own it: %v", err)
		}
		b.append(second.Owner, leaves(entry(second.Owner.Epoch, 4, 0), 1))
		third := b.claim(ClaimRequest{Owner: relayB, Era: 1})
		if l := third.Lost; len(l) != 1 || l[2] == 0 {
			b.Errorf("lost: %v", l)
		}
		again := b.claim(ClaimRequest{Owner: relayB, Held: third.Owner.Epoch, Era: 2, Past: third.Past()})
		if !again.Granted || len(again.Lost) != 0 {
			b.Errorf("who has the room tells all anew: %v", again.Lost)
		}
	},
	"who does not own a room can not give it up": func(b *bench) {
		first := b.claim(ClaimRequest{Owner: relayA, Era: 1})
		second := b.claim(ClaimRequest{Owner: relayB, Era: 1, StealAfter: first.Owner.Epoch})
		if err := b.release(first.Owner, frames.LogPosition{}); !errors.Is(err, ErrFenced) {
			b.Errorf("given up by who does not own it: %v", err)
		}
		b.append(second.Owner, entry(second.Owner.Epoch, 1, 0))
	},
	"entries come back as they were": func(b *bench) {
		owner := b.claim(ClaimRequest{Owner: relayA, Era: 1}).Owner
		first, second := joins(entry(owner.Epoch, 1, 0), 7), entry(owner.Epoch, 1, 1)
		second.To, second.Key, second.Frame = []string{"usr_a", "usr_b"}, "m:ä", []byte{0, 1, 255}
		b.append(owner, first, second)
		tail := b.claim(ClaimRequest{Owner: relayA, Era: 1}).Tail
		if len(tail) != 2 || fmt.Sprintf("%+v", tail[0].Joined) != fmt.Sprintf("%+v", first.Joined) {
			b.Fatalf("the tail: %+v", tail)
		}
		tail[0].Joined, first.Joined = nil, nil
		for i, want := range []*room.Entry{first, second} {
			if got := fmt.Sprintf("%+v", tail[i]); got != fmt.Sprintf("%+v", *want) {
				b.Errorf("%s became %s", fmt.Sprintf("%+v", *want), got)
			}
		}
	},
	"what is appended again is left out, what is new is taken": func(b *bench) {
		owner := b.claim(ClaimRequest{Owner: relayA, Era: 1}).Owner
		b.append(owner, entry(owner.Epoch, 1, 0), entry(owner.Epoch, 1, 1))
		b.append(owner, entry(owner.Epoch, 1, 0), entry(owner.Epoch, 1, 1), after(1, entry(owner.Epoch, 2, 0)))
		b.append(owner, entry(owner.Epoch, 1, 1))
		c := b.claim(ClaimRequest{Owner: relayA, Era: 1})
		if len(c.Tail) != 3 || c.Last != at(owner.Epoch, 2, 0) {
			b.Errorf("claimed as %+v", c)
		}
	},
	"a log is bounded in length, and knows that it was cut": func(b *bench) {
		owner := b.claim(ClaimRequest{Owner: relayA, Era: 1}).Owner
		b.appendAll(owner, room.MaxEntries+10)
		c := b.claim(ClaimRequest{Owner: relayA, Era: 1})
		if len(c.Tail) != room.MaxEntries || c.Complete || c.Tail[0].Seq != 11 || c.Last.Seq != room.MaxEntries+10 {
			b.Errorf("%d entries from %+v to %+v, complete: %v", len(c.Tail), c.Tail[0], c.Last, c.Complete)
		}
	},
	"young entries stay in a log, and of the older ones a few": func(b *bench) {
		const more = 200 // than are looked at in one go
		owner := b.claim(ClaimRequest{Owner: relayA, Era: 1}).Owner
		b.appendAll(owner, room.FewEntries+more)
		if c := b.claim(ClaimRequest{Owner: relayA, Era: 1}); len(c.Tail) != room.FewEntries+more || !c.Complete {
			b.Errorf("%d entries, complete: %v", len(c.Tail), c.Complete)
		}
		owner = b.claim(ClaimRequest{Owner: relayA, Era: 1}).Owner
		later := entry(owner.Epoch, room.FewEntries+more+1, 0)
		later.TimeMS += room.YoungMS + 1
		b.append(owner, later)
		if c := b.claim(ClaimRequest{Owner: relayA, Era: 1}); len(c.Tail) != room.FewEntries || c.Complete || c.Tail[0].Seq != more+2 {
			b.Errorf("%d entries from %+v, complete: %v", len(c.Tail), c.Tail[0], c.Complete)
		}
	},
	"a log is bounded in age": func(b *bench) {
		owner := b.claim(ClaimRequest{Owner: relayA, Era: 1}).Owner
		old, young := entry(owner.Epoch, 1, 0), entry(owner.Epoch, 2, 0)
		young.TimeMS = old.TimeMS + room.MaxAgeMS + 1
		b.append(owner, old, young)
		if c := b.claim(ClaimRequest{Owner: relayA, Era: 1}); len(c.Tail) != 1 || c.Complete {
			b.Errorf("claimed as %+v", c)
		}
	},
	"an owner of whom nothing is known is told so, and goes on in a newer era with what it knows": func(b *bench) {
		owner := b.claim(ClaimRequest{Owner: relayA, Era: 1}).Owner
		b.append(owner, joins(entry(owner.Epoch, 1, 0), 1), entry(owner.Epoch, 2, 0))
		b.forget()
		b.refuses(owner, ErrForgotten, entry(owner.Epoch, 3, 0))
		past := room.Past{
			Last: at(owner.Epoch, 2, 0), LastEntity: 5, Members: []room.Record{recordOf(1)}, Complete: true,
			Tail: []room.Entry{*joins(entry(owner.Epoch, 1, 0), 1), *entry(owner.Epoch, 2, 0)},
		}
		c := b.claim(ClaimRequest{Owner: relayA, Era: 2, Held: owner.Epoch, Past: past})
		if !c.Granted || c.Owner.Epoch < 2*EpochsPerEra || c.LastEntity != 5 || len(c.Members) != 1 {
			b.Fatalf("claimed as %+v", c)
		}
		b.append(c.Owner, entry(owner.Epoch, 3, 0))
		if c := b.claim(ClaimRequest{Owner: relayA, Era: 2}); c.Last != at(owner.Epoch, 3, 0) || len(c.Tail) != 3 || !c.Complete {
			b.Errorf("claimed as %+v", c)
		}
	},
	"what does not follow the log shows that something was forgotten": func(b *bench) {
		owner := b.claim(ClaimRequest{Owner: relayA, Era: 1}).Owner
		b.append(owner, entry(owner.Epoch, 1, 0))
		b.refuses(owner, ErrForgotten, entry(owner.Epoch, 3, 0))
		b.refuses(owner, ErrForgotten, entry(owner.Epoch, 1, 2))
		b.append(owner, entry(owner.Epoch, 1, 1), after(1, entry(owner.Epoch, 2, 0)))
		b.refuses(owner, ErrForgotten, after(1, entry(owner.Epoch, 3, 0))) // a whisper is missing
	},
	"what a holder knows replaces what the store has of an older epoch": func(b *bench) {
		first := b.claim(ClaimRequest{Owner: relayA, Era: 1}).Owner
		b.append(first, joins(entry(first.Epoch, 1, 0), 1), entry(first.Epoch, 2, 0))
		past := room.Past{Last: at(first.Epoch+1, 1, 0), Tail: []room.Entry{*entry(first.Epoch+1, 1, 0)}}
		c := b.claim(ClaimRequest{Owner: relayB, Era: 2, Held: first.Epoch + 1, Past: past})
		if !c.Granted || len(c.Tail) != 1 || len(c.Members) != 0 || c.Last != past.Last || c.Complete {
			b.Errorf("claimed as %+v", c)
		}
	},
	"an epoch that the store has forgotten is not given again": func(b *bench) {
		forgotten := b.claim(ClaimRequest{Owner: relayA, Era: 1}).Owner
		time.Sleep(epochLength)
		b.forget()
		if c := b.claim(ClaimRequest{Owner: relayB, Era: 1}); !c.Granted || c.Owner.Epoch <= forgotten.Epoch {
			b.Errorf("claimed as %+v after epoch %d", c, forgotten.Epoch)
		}
	},
	"when the epochs are used up, nobody gets one that was given": func(b *bench) {
		last := b.claim(ClaimRequest{Owner: relayA, Held: MaxEpoch - 1})
		if !last.Granted || last.Owner.Epoch != MaxEpoch {
			b.Errorf("claimed as %+v", last)
		}
		c, err := b.Claim(b.ctx, ClaimRequest{Room: b.room, Owner: relayB, StealAfter: MaxEpoch})
		if !errors.Is(err, ErrNoEpochs) {
			b.Errorf("claimed as %+v, %v", c, err)
		}
		b.append(last.Owner, entry(last.Owner.Epoch, 1, 0))
	},
	"who does not know of the era yet is given an epoch by its clock": func(b *bench) {
		first := b.claim(ClaimRequest{Owner: relayA, Era: 2}).Owner
		time.Sleep(3 * epochLength)
		c := b.claim(ClaimRequest{Owner: relayB, Era: 1, StealAfter: first.Epoch})
		if !c.Granted || c.Owner.Epoch < first.Epoch+3 || c.Owner.Epoch >= 3*EpochsPerEra {
			b.Errorf("claimed as %+v after epoch %d", c, first.Epoch)
		}
	},
	"of two who were given the same epoch, each is told": func(b *bench) {
		const held = 3*EpochsPerEra - 2 // the clock will not have come to the end of an era
		owner := b.claim(ClaimRequest{Owner: relayA, Held: held}).Owner
		b.forget()
		other := b.claim(ClaimRequest{Owner: relayB, Held: held}).Owner
		if owner.Epoch != other.Epoch {
			b.Fatalf("epochs %d and %d", owner.Epoch, other.Epoch)
		}
		b.refuses(owner, ErrForgotten, entry(owner.Epoch, 1, 0))
		b.append(other, entry(other.Epoch, 1, 0))
	},
	"who holds a room in the epoch of another owner does not get it back": func(b *bench) {
		first := b.claim(ClaimRequest{Owner: relayA, Era: 1})
		if c := b.claim(ClaimRequest{Owner: relayB, Era: 2, Held: first.Owner.Epoch}); c.Granted || c.Owner != first.Owner {
			b.Errorf("claimed as %+v", c)
		}
	},
	"who holds a room in an older epoch than its owner does not get it back": func(b *bench) {
		first := b.claim(ClaimRequest{Owner: relayA, Era: 1})
		second := b.claim(ClaimRequest{Owner: relayB, Era: 1, StealAfter: first.Owner.Epoch})
		if c := b.claim(ClaimRequest{Owner: relayA, Era: 2, Held: first.Owner.Epoch}); c.Granted || c.Owner != second.Owner {
			b.Errorf("claimed as %+v", c)
		}
	},
	"a claim again that is late takes nothing from those who came after": func(b *bench) {
		late := b.claim(ClaimRequest{Owner: relayA, Era: 1}).Owner
		again := ClaimRequest{Owner: relayA, Era: 2, Held: late.Epoch, Past: room.Past{Last: at(late.Epoch, 1, 0)}}
		refused := func(when string) {
			b.Helper()
			if c := b.claim(again); c.Granted {
				b.Errorf("%s it was granted, as %+v", when, c)
			}
		}
		second := b.claim(ClaimRequest{Owner: relayB, Era: 1, StealAfter: late.Epoch}).Owner
		b.append(second, entry(second.Epoch, 1, 0)) // another one than the first owner's, which was refused
		if err := b.release(second, at(second.Epoch, 1, 0)); err != nil {
			b.Fatal(err)
		}
		refused("when the next owner had given the room up")
		third := relayA
		third.Incarnation = "second life"
		b.claim(ClaimRequest{Owner: third, Era: 1})
		refused("when another start of the relay had it")
		fourth := b.claim(ClaimRequest{Owner: relayA, Era: 1}).Owner
		b.append(fourth, entry(fourth.Epoch, 2, 0))
		refused("when the relay itself had written more to it")
		if c := b.claim(ClaimRequest{Owner: relayC, Era: 1, StealAfter: fourth.Epoch}); len(c.Tail) != 2 {
			b.Errorf("what was written meanwhile is lost: %+v", c)
		}
	},
	"a claim again is granted again, for its answer may be lost": func(b *bench) {
		first := b.claim(ClaimRequest{Owner: relayA, Era: 1}).Owner
		b.append(first, entry(first.Epoch, 1, 0))
		past := room.Past{Last: at(first.Epoch, 1, 0), Tail: []room.Entry{*entry(first.Epoch, 1, 0)}, Complete: true}
		for range 2 {
			c := b.claim(ClaimRequest{Owner: relayA, Era: 2, Held: first.Epoch, Past: past})
			if !c.Granted || c.Last != past.Last || len(c.Tail) != 1 {
				b.Errorf("claimed as %+v", c)
			}
		}
	},
	"who holds a room is given a greater epoch than it had, whatever the store knows": func(b *bench) {
		const held = 3*EpochsPerEra - 2 // the clock will not have come to the end of an era
		b.forget()
		if c := b.claim(ClaimRequest{Owner: relayA, Era: 1, Held: held}); !c.Granted || c.Owner.Epoch != held+1 {
			b.Errorf("claimed as %+v, held in %d", c, held)
		}
	},
	"a start of a relay can not give up what another start of it owns": func(b *bench) {
		owner := b.claim(ClaimRequest{Owner: relayA, Era: 1}).Owner
		other := owner
		other.Incarnation = "another life"
		if err := b.release(other, frames.LogPosition{}); !errors.Is(err, ErrForgotten) {
			b.Errorf("given up by another start: %v", err)
		}
		b.append(owner, entry(owner.Epoch, 1, 0))
	},
	"owners are told of, and where their logs end": func(b *bench) {
		owner := b.claim(ClaimRequest{Owner: relayA, Era: 1}).Owner
		b.append(owner, entry(owner.Epoch, 1, 0), entry(owner.Epoch, 1, 1))
		owners, err := b.Owners(b.ctx, []string{b.room, "nobody's"})
		want := Ownership{owner, at(owner.Epoch, 1, 1)}
		nobodys, told := owners["nobody's"]
		if err != nil || owners[b.room] != want || !told || nobodys != (Ownership{}) {
			b.Errorf("owners %+v, %v", owners, err)
		}
	},
	"relays know of each other while their leases last": func(b *bench) {
		a, other := Relay{ID: "relay-0", Incarnation: "1", Address: "x:1", Rooms: 3}, Relay{ID: "relay-1", Draining: true}
		b.renew(a, time.Minute)
		if peers := b.renew(other, 20*time.Millisecond).Peers; len(peers) != 2 || peers[0] != a || peers[1] != other {
			b.Errorf("peers: %+v", peers)
		}
		b.until(func() bool { return len(b.renew(a, time.Minute).Peers) == 1 })
		for _, incarnation := range []string{"0", "1"} { // the first is not the one that has the lease
			if peers := b.renew(other, time.Minute).Peers; len(peers) != 2 {
				b.Errorf("peers: %+v", peers)
			}
			if err := b.Leave(b.ctx, Relay{ID: a.ID, Incarnation: incarnation}); err != nil {
				b.Fatal(err)
			}
		}
		if peers := b.renew(other, time.Minute).Peers; len(peers) != 1 || peers[0] != other {
			b.Errorf("peers: %+v", peers)
		}
	},
	"an era does not go back": func(b *bench) {
		relay := Relay{ID: "relay-0"}
		if r := b.renew(relay, time.Minute); r.Era != 0 || r.EraReplicationID != "" || r.ReplicationID == "" {
			b.Errorf("renewed: %+v", r)
		}
		for _, era := range []uint64{5, 4} {
			if err := b.SetEra(b.ctx, era, fmt.Sprint("id", era), true); err != nil {
				b.Fatal(err)
			}
		}
		if r := b.renew(relay, time.Minute); r.Era != 5 || r.EraReplicationID != "id5" || r.EraAge < time.Hour {
			b.Errorf("renewed: %+v", r)
		}
		if err := b.SetEra(b.ctx, 6, "id6", false); err != nil {
			b.Fatal(err)
		}
		if r := b.renew(relay, time.Minute); r.Era != 6 || r.EraAge > time.Minute {
			b.Errorf("renewed in a newer era: %+v", r)
		}
	},
}

var (
	relayA = Owner{Relay: "relay-a", Incarnation: "1", Address: "10.0.0.1:1"}
	relayB = Owner{Relay: "relay-b", Incarnation: "1", Address: "10.0.0.2:1"}
	relayC = Owner{Relay: "relay-c", Incarnation: "1", Address: "10.0.0.3:1"}
)

func TestMemory(t *testing.T) {
	for name, test := range suite {
		t.Run(name, func(t *testing.T) {
			m := NewMemory(time.Now)
			test(&bench{T: t, Store: m, ctx: t.Context(), room: "room_a", forget: m.Forget})
		})
	}
}

func TestRedis(t *testing.T) {
	server := kittest.StartValkey(t)
	forget := func() { server.Client.FlushAll(context.Background()) }
	for name, test := range suite {
		t.Run(name, func(t *testing.T) {
			forget()
			test(&bench{T: t, Store: NewRedis(server.Client, server.Client), ctx: t.Context(), room: "room_a", forget: forget})
		})
	}
}

func TestALeaseIsRenewedThoughRoomsWaitForTheServer(t *testing.T) {
	server := kittest.StartValkey(t)
	client := func() *redis.Client {
		c := redis.NewClient(&redis.Options{Addr: server.Addr, PoolSize: 1, ContextTimeoutEnabled: true})
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	rooms := client()
	s, busy := NewRedis(rooms, client()), make(chan struct{})
	go func() {
		defer close(busy)
		_ = rooms.BLPop(t.Context(), 2*time.Second, "nothing").Err()
	}()
	for rooms.PoolStats().TotalConns == rooms.PoolStats().IdleConns {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := s.Renew(ctx, Relay{ID: "relay-a"}, time.Minute); err != nil {
		t.Error(err)
	}
	<-busy
}

func TestOwnersAreToldThoughAPartOfTheStoreFails(t *testing.T) {
	server := kittest.StartValkey(t)
	b := &bench{T: t, Store: NewRedis(server.Client, server.Client), ctx: t.Context(), room: "room_a"}
	owner := b.claim(ClaimRequest{Owner: relayA, Era: 1}).Owner
	if err := server.Client.Set(b.ctx, keys("room_b")[0], "no record", 0).Err(); err != nil {
		t.Fatal(err)
	}
	owners, err := b.Owners(b.ctx, []string{"room_b", b.room})
	if err == nil || len(owners) != 1 || owners[b.room].Owner != owner {
		t.Errorf("owners %+v, %v", owners, err)
	}
}

// TestRedisForgetsInParts is what a server can do that keeps each key by itself: one of them runs out before another, or
// was lost alone.
func TestRedisForgetsInParts(t *testing.T) {
	server := kittest.StartValkey(t)
	record, log, members := keys("room_a")[0], keys("room_a")[1], keys("room_a")[2]
	begin := func(t *testing.T) (*bench, Owner) {
		t.Helper()
		server.Client.FlushAll(t.Context())
		b := &bench{T: t, Store: NewRedis(server.Client, server.Client), ctx: t.Context(), room: "room_a"}
		owner := b.claim(ClaimRequest{Owner: relayA, Era: 1}).Owner
		b.append(owner, joins(entry(owner.Epoch, 1, 0), 1))
		return b, owner
	}
	t.Run("everything runs out that nobody asks for", func(t *testing.T) {
		b, owner := begin(t)
		for _, key := range []string{record, log, members} {
			server.Client.Persist(t.Context(), key)
		}
		b.append(owner, joins(entry(owner.Epoch, 2, 0), 2))
		for key, keep := range map[string]time.Duration{record: KeepRoom, log: keepLog, members: KeepRoom} {
			if left := server.Client.PTTL(t.Context(), key).Val(); left <= 0 || left > keep {
				t.Errorf("%s is kept for %v, not %v", key, left, keep)
			}
		}
	})
	t.Run("a room in which nothing happens is kept", func(t *testing.T) {
		b, _ := begin(t)
		for _, key := range []string{record, members} {
			server.Client.PExpire(t.Context(), key, time.Minute)
		}
		if err := b.Keep(t.Context(), []string{"room_a"}); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{record, members} {
			if left := server.Client.PTTL(t.Context(), key).Val(); left < KeepRoom-time.Minute {
				t.Errorf("%s is kept for %v", key, left)
			}
		}
	})
	t.Run("a log that has run out does not go back to the beginning", func(t *testing.T) {
		b, _ := begin(t)
		server.Client.Del(t.Context(), log)
		if c := b.claim(ClaimRequest{Owner: relayA, Era: 1}); c.Complete || len(c.Tail) != 0 || c.Last.Seq != 1 {
			t.Errorf("claimed as %+v", c)
		}
	})
	t.Run("what is left of a room without a record is not of the next one", func(t *testing.T) {
		b, _ := begin(t)
		server.Client.Del(t.Context(), record)
		if c := b.claim(ClaimRequest{Owner: relayB, Era: 1}); len(c.Tail)+len(c.Members) != 0 || !c.Complete {
			t.Errorf("claimed as %+v", c)
		}
	})
}

// bench is a store under test.
type bench struct {
	*testing.T
	Store

	ctx    context.Context
	room   string
	forget func()
}

func (b *bench) claim(q ClaimRequest) Claim {
	b.Helper()
	q.Room = b.room
	c, err := b.Claim(b.ctx, q)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

func (b *bench) append(owner Owner, entries ...*room.Entry) {
	b.Helper()
	if err := b.Append(b.ctx, b.room, owner, entries, nil); err != nil {
		b.Fatal(err)
	}
}

// appendAll appends so many entries, of the same time and numbered from 1, many at once.
func (b *bench) appendAll(owner Owner, count int) {
	b.Helper()
	entries := make([]*room.Entry, count)
	for i := range entries {
		entries[i] = entry(owner.Epoch, uint64(i+1), 0)
	}
	for part := range slices.Chunk(entries, 500) {
		b.append(owner, part...)
	}
}

func (b *bench) tellLost(owner Owner, lost ...Lost) {
	b.Helper()
	if err := b.Append(b.ctx, b.room, owner, nil, lost); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) refuses(owner Owner, want error, entries ...*room.Entry) {
	b.Helper()
	if err := b.Append(b.ctx, b.room, owner, entries, nil); !errors.Is(err, want) {
		b.Errorf("appending answered %v, not %v", err, want)
	}
}

func (b *bench) release(owner Owner, last frames.LogPosition) error {
	return b.Release(b.ctx, b.room, owner, last)
}

func (b *bench) renew(relay Relay, lease time.Duration) Renewal {
	b.Helper()
	r, err := b.Renew(b.ctx, relay, lease)
	if err != nil {
		b.Fatal(err)
	}
	return r
}

func (b *bench) until(condition func() bool) {
	b.Helper()
	for limit := time.Now().Add(10 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			b.Fatal("it does not come to that")
		}
	}
}

func at(epoch, seq uint64, sub uint32) frames.LogPosition {
	return frames.LogPosition{Epoch: epoch, Seq: seq, Sub: sub}
}

func entry(epoch, seq uint64, sub uint32) *room.Entry {
	return &room.Entry{LogPosition: at(epoch, seq, sub), TimeMS: 1_800_000_000_000, Author: "usr_a", Frame: []byte("frame")}
}

// after makes an entry follow so many whispers.
func after(whispers uint32, e *room.Entry) *room.Entry {
	e.After = whispers
	return e
}

func recordOf(entity uint32) room.Record {
	return room.Record{
		Entity: entity, User: frames.User{ID: fmt.Sprint("usr_", entity), Username: "somebody", Bot: true},
		Session: "gws_1", Role: 2, SinceMS: 1_800_000_000_000,
	}
}

func joins(e *room.Entry, entity uint32) *room.Entry {
	record := recordOf(entity)
	e.Joined = &record
	return e
}

func leaves(e *room.Entry, entity uint32) *room.Entry {
	e.Left = entity
	return e
}
