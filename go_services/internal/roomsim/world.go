// Package roomsim runs the cores of relays (room, and the sink and queues around it), gateways (roomlink) and their store
// in one process, without clocks, goroutines or networks: what happens next is a choice, so that every interleaving can
// be searched, or thousands of random ones be played, and a failing one is played again. What drives the cores here
// mirrors what drives them in the services (relay/live_room.go, hub.go, tenure.go; gateway/attachment.go): a change
// there belongs here, too.
package roomsim

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/relay/room"
	"github.com/worldmesh/worldmesh/go_services/relay/store"
)

const (
	roomID = "room"
	// hold is how long a member stays in whose connection is lost.
	hold = 30 * time.Second
	// moment is less than the hold, and more than a relay may be without the store.
	moment = 20 * time.Second
	// validFor is how long a relay may be without the store.
	validFor = 12 * time.Second
	// failOver is how long the store takes to fail over at least; all claims of a world take less.
	failOver = 5 * time.Second
	// longTime is more than the log goes back.
	longTime = (room.MaxAgeMS + 60_000) * time.Millisecond
)

// Faults bounds how often each fault may happen.
type Faults struct {
	// Crashes of relays, which start again, and of gateways, whose clients go elsewhere.
	Crashes, GatewayCrashes int
	// Pauses of relays: their gateways go elsewhere, and the relays go on as if nothing had happened.
	Pauses int
	// FailOvers of the store, which forget the newest write, or, with Forgets, up to so many.
	FailOvers, Forgets int
	// Empties of the store: it comes back and has forgotten everything.
	Empties int
	// Moves of rooms, by a relay that gives them away.
	Moves int
	// Misroutes: gateways that ask another relay than the mesh would choose.
	Misroutes int
	// Outages of the store, during which nothing gets through to it.
	Outages int
	// Failures of single writes: they are not done, or they are and nobody hears of it.
	Failures int
	// Stalls: writes that take so long that the room refuses what is ordered meanwhile.
	Stalls int
	// Waits are moments in which nothing else happens, shorter than the hold; Naps outlast hold and log.
	Waits, Naps int
}

// Setup is what a world begins with.
type Setup struct {
	Relays, Gateways int
	// Capacity of the room; 0: more than there are clients.
	Capacity int
	// Acts holds what each client will do; a client is on the gateway with its number, modulo their count.
	Acts [][]Act
	Faults
	// Broken has a known bug injected, to see that it is found.
	Broken Bug
}

// World is a system of relays, gateways, clients and a store.
type World struct {
	setup    Setup
	store    *storage
	era      uint64 // as MongoDB keeps it
	now      time.Time
	began    time.Time
	relays   []*relay
	gateways []*gateway
	clients  []*client
	late     []*write // of relays that have crashed, or lost the room meanwhile
	book     book
	opened   map[uint64]string // which start of which relay has opened the room in an epoch
	trimmed  bool              // the log may not go back to the beginning
	lost     bool              // the store and a relay have forgotten something together
	faults   Faults
	walks    bool // somebody does
	trace    []string
	failure  error
}

// New makes a world whose clients are in the room, as far as it holds them.
func New(setup Setup) *World {
	w := &World{setup: setup, now: time.Date(2030, time.January, 1, 0, 0, 0, 0, time.UTC), era: 1, opened: map[uint64]string{}}
	w.began, w.walks = w.now, setup.walks()
	w.store = newStorage(w)
	_ = w.store.SetEra(context.Background(), w.era, w.replicationID(), true)
	for i := range setup.Relays {
		w.relays = append(w.relays, &relay{world: w, index: i, incarnation: 1, alive: true, era: w.era, renewed: w.now, swept: w.now})
	}
	for i := range setup.Gateways {
		w.gateways = append(w.gateways, newGateway(w, i))
	}
	for i := range setup.Acts {
		c := &client{world: w, index: i}
		w.clients = append(w.clients, c)
		c.enter(w.gateways[i%setup.Gateways], nil)
	}
	w.Settle(settleLimit)
	for i, acts := range setup.Acts {
		w.clients[i].acts = acts
	}
	w.faults = setup.Faults
	w.store.past = nil
	w.trace = nil
	return w
}

func (w *World) replicationID() string {
	renewal, _ := w.store.Renew(context.Background(), store.Relay{ID: "0"}, time.Hour)
	return renewal.ReplicationID
}

// action is something that may happen next.
type action struct {
	name string
	do   func()
}

// actions are all that may happen next, in an order that is always the same. Faults come last.
func (w *World) actions() []action {
	var all []action
	calm := w.calm()
	for _, g := range w.gateways {
		all = append(all, g.actions()...)
		// What a gateway receives changes nothing but the gateway, and nothing but a fault can take it away: when none
		// is left, it may as well happen at once.
		if calm && g.stream != nil && len(g.stream.down) > 0 {
			return all[len(all)-1:]
		}
	}
	for _, c := range w.clients {
		all = append(all, c.actions()...)
	}
	for _, r := range w.relays {
		all = append(all, r.actions()...)
	}
	all = append(all, w.store.actions()...)
	if len(w.late) > 0 {
		all = append(all, action{"a late write arrives", func() {
			w.late[0].arrive(w)
			w.late = w.late[1:]
		}})
	}
	return all
}

// calm says that nothing is left by which something on its way is lost, or comes to somebody else. What a relay has sent
// that is paused still comes.
func (w *World) calm() bool {
	if w.faults.Crashes+w.faults.GatewayCrashes > 0 {
		return false
	}
	for _, c := range w.clients {
		for _, act := range c.acts {
			if act.Kind != Say && act.Kind != Whisper && act.Kind != Step {
				return false
			}
		}
	}
	return true
}

func (w *World) faultActions() []action {
	var all []action
	for _, r := range w.relays {
		all = append(all, r.faultActions()...)
	}
	for _, g := range w.gateways {
		all = append(all, g.faultActions()...)
	}
	all = append(all, w.store.faultActions()...)
	if w.faults.Waits > 0 {
		all = append(all, action{"a moment passes", func() {
			w.faults.Waits--
			w.pass(moment)
		}})
	}
	if w.faults.Naps > 0 {
		all = append(all, action{"a long time passes", func() {
			w.faults.Naps--
			w.pass(longTime)
		}})
	}
	return all
}

// pass lets time pass.
func (w *World) pass(d time.Duration) {
	w.now = w.now.Add(d)
	w.trimmed = w.trimmed || w.now.Sub(w.began) > room.MaxAgeMS*time.Millisecond
	for _, r := range w.relays {
		if r.answers() && !w.store.down {
			r.renewed = w.now
		}
	}
	for _, g := range w.gateways {
		g.timePassed()
	}
}

// next are all that may happen next, faults included.
func (w *World) next() []action { return append(w.actions(), w.faultActions()...) }

func (w *World) do(a action) {
	w.trace = append(w.trace, a.name)
	a.do()
}

// Settle lets everything happen that can without faults, in a fair order, until nothing can; false if that takes too
// long.
func (w *World) Settle(limit int) bool {
	for i := range limit {
		all := w.actions()
		if len(all) == 0 {
			return true
		}
		w.do(all[i%len(all)])
	}
	return len(w.actions()) == 0
}

// fail takes note of the first thing that must not be.
func (w *World) fail(format string, args ...any) {
	if w.failure == nil {
		w.failure = fmt.Errorf(format, args...)
	}
}

// Check says what must not be and is; `settled` says that nothing can happen any more without a fault, so that
// everything must have come to its end.
func (w *World) Check(settled bool) error {
	if w.failure != nil {
		return w.failure
	}
	for _, c := range w.clients {
		c.check(settled)
	}
	if settled {
		w.checkMembers(false)
	}
	if w.lost {
		w.compare()
		return w.failure
	}
	w.book.check(w)
	if settled && w.store.forgot && w.holder() != nil {
		w.fail("the store has forgotten something, and nobody tells it again")
	}
	return w.failure
}

// CheckAfterHold is Check when all who have no connection must be out.
func (w *World) CheckAfterHold() error {
	w.checkMembers(true)
	return w.Check(true)
}

// holder is the relay that was granted the room last, if it has it; else nil.
func (w *World) holder() *relay {
	for _, r := range w.relays {
		if r.core != nil && sameStart(r.me(), w.store.holder) {
			return r
		}
	}
	return nil
}

// checkMembers looks whether those are in who must be.
func (w *World) checkMembers(afterHold bool) {
	in := map[string]string{} // sessions by user
	for _, m := range w.store.members() {
		in[m.User.ID] = m.Session
	}
	for _, c := range w.clients {
		d, session := c.device, in[c.user()]
		switch {
		case d.connected():
			if session != d.session {
				w.fail("client %d is in by session %q, and the room has %q", c.index, d.session, session)
			}
		case d.over && session == d.session && !d.unsure:
			w.fail("client %d was told that it is not in, and is", c.index)
		case afterHold && session != "" && !c.isIn(session):
			w.fail("client %d is a ghost: in by session %q after the hold", c.index, session)
		}
	}
}

// checkPutOut looks at a member who leaves without having asked for it.
func (w *World) checkPutOut(e *room.Entry) {
	for _, c := range w.clients {
		if c.user() != e.Author || c.devices > 1 {
			continue // another connection may have taken its place
		}
		if w.now.Sub(w.began) < hold {
			w.fail("client %d leaves though nobody can have waited for it for so long", c.index)
		}
	}
}

// compare looks whether all clients heard the same in the same place.
func (w *World) compare() {
	said := map[frames.LogPosition]string{}
	for _, c := range w.clients {
		for _, h := range c.everHeard {
			if text, known := said[h.at]; known && text != h.text {
				w.fail("%v is %q for client %d, and %q for another", h.at, h.text, c.index, text)
			}
			said[h.at] = h.text
		}
	}
}

// Trace tells what has happened.
func (w *World) Trace() string { return strings.Join(w.trace, "\n") }
