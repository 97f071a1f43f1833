package roomsim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/worldmesh/worldmesh/go_services/relay/room"
	"github.com/worldmesh/worldmesh/go_services/relay/store"
)

// errStore is what a relay gets that does not know what the store did.
var errStore = errors.New("the store does not answer")

// storage is the store as relays reach it.
type storage struct {
	*store.Memory
	world *World
	past  []store.Memento // before each of the newest writes, oldest first
	down  bool
	// fails has the next write fail; mute has it be done, and its answer be lost.
	fails, mute bool
	switches    int           // to other servers, with another replication id
	ahead       time.Duration // of the world's clock, for to fail over takes time
	// holder is who was granted the room last; forgot says that the store has lost something of what it wrote, and unseen that
	// its replication id does not show it.
	holder         store.Owner
	forgot, unseen bool
}

func newStorage(w *World) *storage {
	s := &storage{world: w}
	s.Memory = store.NewMemory(s.clock)
	return s
}

func (s *storage) clock() time.Time { return s.world.now.Add(s.ahead) }

// write does something to the store, if it answers. Only what is kept counts as one of the writes that a fail-over forgets.
func (s *storage) write(kept bool, do func() error) error {
	if s.down || s.fails {
		s.fails = false
		return errStore
	}
	if kept && s.world.setup.FailOvers > 0 {
		s.past = append(s.past, s.Save())
		if most := max(1, s.world.setup.Forgets); len(s.past) > most {
			s.past = s.past[1:]
		}
	}
	err := do()
	if s.mute {
		s.mute = false
		return errStore
	}
	return err
}

func (s *storage) claim(q store.ClaimRequest) (claim store.Claim, err error) {
	err = s.write(true, func() error {
		var err error
		if claim, err = s.Claim(context.Background(), q); claim.Granted {
			s.granted(claim.Owner, q)
		}
		return err
	})
	return claim, err
}

// granted takes note of a new owner. If the store has forgotten something, and the one who claims does not know it, that
// is lost: which must not be if the one who knows it answers. Two are let off: who was robbed and has not noticed when the store
// forgets that, for it claims what it had; and a fail-over that shows in no renewal.
func (s *storage) granted(owner store.Owner, q store.ClaimRequest) {
	if s.forgot && (q.Held == 0 || !sameStart(owner, s.holder)) {
		s.world.lost = true
		if h := s.world.holder(); !s.unseen && q.Held == 0 && h != nil && h.answers() {
			s.world.fail("relay %s gets the room, and relay %s knows what the store has forgotten of it", owner.Relay, s.holder.Relay)
		}
	}
	if q.Held != 0 {
		s.world.book.cut(q.Past.Last)
	}
	s.forgot, s.unseen, s.holder = false, false, owner // what the store has now is what counts
}

func sameStart(a, b store.Owner) bool { return a.Relay == b.Relay && a.Incarnation == b.Incarnation }

func (s *storage) append(owner store.Owner, entries []*room.Entry, lost []store.Lost) error {
	return s.write(len(entries) > 0, func() error {
		err := s.Append(context.Background(), roomID, owner, entries, lost)
		if err == nil && len(entries) > 0 {
			s.did(owner)
			if !s.world.lost {
				s.world.book.wrote(s.world, entries)
			}
		}
		return err
	})
}

// did takes note that somebody has written. What follows in the log tells that all before is there.
func (s *storage) did(owner store.Owner) {
	if sameStart(owner, s.holder) {
		s.forgot, s.unseen = false, false
	} else if s.forgot {
		s.world.lost = true
	}
}

func (s *storage) release(owner store.Owner, last *room.Room) error {
	return s.write(true, func() error {
		err := s.Release(context.Background(), roomID, owner, last.Position())
		if err == nil {
			s.did(owner)
		}
		return err
	})
}

func (s *storage) owners() store.Ownership {
	owners, _ := s.Owners(context.Background(), []string{roomID})
	return owners[roomID]
}

// faultActions are what may go wrong with the store.
func (s *storage) faultActions() []action {
	var all []action
	f := &s.world.faults
	if f.FailOvers > 0 {
		for n := range max(1, len(s.past)) {
			all = append(all, action{fmt.Sprintf("the store fails over and forgets %d writes", min(len(s.past), n+1)), func() {
				s.failOver(n+1, s.FailOver)
				s.switches++
				s.unseen = false
			}})
		}
		if s.world.setup.Forgets > 0 {
			all = append(all, action{"a part of the store fails over unseen", func() {
				known := !s.forgot
				s.failOver(1, s.FailOverUnseen)
				s.unseen = s.unseen || known && s.forgot
			}})
		}
	}
	if f.Empties > 0 {
		all = append(all, action{"the store comes back, and has forgotten everything", s.forgetAll})
	}
	if s.down || s.fails || s.mute {
		return all
	}
	if f.Outages > 0 {
		all = append(all, action{"the store is down", func() {
			f.Outages--
			s.down = true
		}})
	}
	if f.Failures > 0 {
		all = append(all, action{"the store's next write will fail", func() {
			f.Failures--
			s.fails = true
		}}, action{"the answer to the store's next write will be lost", func() {
			f.Failures--
			s.mute = true
		}})
	}
	return all
}

func (s *storage) failOver(writes int, do func(store.Memento)) {
	s.world.faults.FailOvers--
	if s.world.setup.Broken != EpochAgain {
		s.ahead += failOver
	}
	now := s.Save()
	if n := len(s.past); n > 0 {
		to := s.past[max(0, n-writes)]
		s.forgot = s.forgot || to.Logs() != now.Logs()
		do(to)
	} else {
		do(now)
	}
	s.past = nil
}

// forgetAll is a store that starts again, and has kept nothing.
func (s *storage) forgetAll() {
	s.world.faults.Empties--
	s.ahead += failOver
	s.Forget()
	s.FailOver(s.Save()) // as another server
	s.forgot, s.unseen, s.past = true, false, nil
	s.switches++
}

// comesBack is what everybody notices at once who asks a few times a second.
func (s *storage) comesBack() {
	s.down = false
	for _, r := range s.world.relays {
		if r.answers() {
			r.renewed = s.world.now
		}
	}
}

// actions are what the store does by itself.
func (s *storage) actions() []action {
	if s.down {
		return []action{{"the store is back", s.comesBack}}
	}
	return nil
}

// members are who is in the room, by the store.
func (s *storage) members() []room.Record { return s.next().Members }

// tail is the log.
func (s *storage) tail() []room.Entry { return s.next().Tail }

// next is what the next relay would know.
func (s *storage) next() store.Claim {
	twin := store.NewMemory(s.clock)
	twin.FailOver(s.Save())
	claim, _ := twin.Claim(context.Background(), store.ClaimRequest{
		Room: roomID, Owner: store.Owner{Relay: "who looks"}, StealAfter: s.owners().Owner.Epoch,
	})
	return claim
}
