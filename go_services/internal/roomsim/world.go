// Package roomsim runs the cores of relays (room), gateways (roomlink) and their store in one process, without clocks,
// goroutines or networks: what happens next is a choice, so that every interleaving can be searched, or thousands of
// random ones be played, and a failing one is played again. What drives the cores here mirrors what drives them in the
// services: a change there belongs here, too.
package roomsim

import (
	"fmt"
	"strings"
	"time"

	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/relay/store"
)

// Faults bounds how often each fault may happen.
type Faults struct {
	// Crashes of relays, which start again, and of gateways, whose clients go elsewhere.
	Crashes, GatewayCrashes int
	// Pauses of relays: their gateways go elsewhere, and the relays go on as if nothing had happened.
	Pauses int
	// FailOvers of the store, which forget the last write.
	FailOvers int
	// Moves of rooms, by a relay that gives them away.
	Moves int
	// Misroutes: gateways that ask another relay than the mesh would choose.
	Misroutes int
}

// Setup is what a world begins with.
type Setup struct {
	Relays, Gateways int
	// Says holds what each client will say; a client is on the gateway with its number, modulo their count.
	Says [][]string
	Faults
	// Broken has a known bug injected, to see that it is found.
	Broken Bug
}

// Bug is a known bug.
type Bug string

// The bugs that the checks must find.
const (
	NoBug             Bug = ""
	DeliverBeforeLog  Bug = "deliver before the log"
	NoFence           Bug = "append without looking at the epoch"
	NoDedupe          Bug = "do what is repeated"
	ForgetUnanswered  Bug = "forget what was not answered"
	IgnoreSeen        Bug = "send a gateway everything again"
	AcceptOldEpoch    Bug = "believe a relay with an older epoch"
	NoRelog           Bug = "do not log again what the store forgot"
	LoseTail          Bug = "take a room without its log"
	AckBeforeLog      Bug = "answer before the log"
	ReleaseBeforeLog  Bug = "give a room away before its log is written"
	KeepAfterFence    Bug = "go on after being fenced"
	SeqFromZero       Bug = "number from the start after a fail-over"
	RepeatOutOfOrder  Bug = "repeat the newest first"
	DropResumeReplay  Bug = "resume without what was missed"
	AcceptTwice       Bug = "hear again what was heard"
	StealFromTheAlive Bug = "take rooms from relays that answer, and let both write"
)

// Bugs are all of them.
var Bugs = []Bug{
	DeliverBeforeLog, NoFence, NoDedupe, ForgetUnanswered, IgnoreSeen, AcceptOldEpoch, NoRelog, LoseTail, AckBeforeLog,
	ReleaseBeforeLog, KeepAfterFence, SeqFromZero, RepeatOutOfOrder, DropResumeReplay, AcceptTwice, StealFromTheAlive,
}

// World is a system of relays, gateways, clients and a store.
type World struct {
	setup    Setup
	store    *store.Memory
	before   store.Memento // what a fail-over goes back to
	era      uint64
	now      time.Time
	relays   []*relay
	gateways []*gateway
	clients  []*client
	late     []*write // of relays that have crashed
	streams  uint64
	numbers  uint64
	faults   Faults
	trace    []string
	failure  error
}

// New makes a world whose clients are in the room.
func New(setup Setup) *World {
	w := &World{setup: setup, now: time.UnixMilli(1_000_000), era: 1}
	w.store = store.NewMemory(func() time.Time { return w.now })
	w.before = w.store.Save()
	for i := range setup.Relays {
		w.relays = append(w.relays, &relay{world: w, index: i, incarnation: 1, alive: true})
	}
	for i := range setup.Gateways {
		w.gateways = append(w.gateways, newGateway(w, i))
	}
	for i := range setup.Says {
		c := &client{world: w, index: i, gateway: w.gateways[i%setup.Gateways]}
		w.clients = append(w.clients, c)
		c.join()
	}
	w.Settle(settleLimit)
	for i, says := range setup.Says {
		w.clients[i].says = says
	}
	w.faults = setup.Faults
	w.before = w.store.Save()
	w.trace = nil
	return w
}

// action is something that may happen next.
type action struct {
	name string
	do   func()
}

// actions are all that may happen next, in an order that is always the same. Faults come last.
func (w *World) actions() []action {
	var all []action
	for _, g := range w.gateways {
		all = append(all, g.actions()...)
		// What a gateway receives changes nothing but the gateway, and nothing but a fault can take it away: when none
		// is left, it may as well happen at once.
		if w.calm() && g.stream != nil && len(g.stream.down) > 0 {
			return all[len(all)-1:]
		}
	}
	for _, c := range w.clients {
		all = append(all, c.actions()...)
	}
	for _, r := range w.relays {
		all = append(all, r.actions()...)
	}
	if len(w.late) > 0 {
		all = append(all, action{"a late write arrives", func() {
			w.late[0].arrive(w)
			w.late = w.late[1:]
		}})
	}
	return all
}

// calm says that no fault is left by which something on its way is lost.
func (w *World) calm() bool { return w.faults.Crashes+w.faults.Pauses+w.faults.GatewayCrashes == 0 }

func (w *World) faultActions() []action {
	var all []action
	for _, r := range w.relays {
		all = append(all, r.faultActions()...)
	}
	for _, g := range w.gateways {
		all = append(all, g.faultActions()...)
	}
	if w.faults.FailOvers > 0 {
		all = append(all, action{"the store fails over", func() {
			w.faults.FailOvers--
			w.store.FailOver(w.before)
			w.before = w.store.Save()
		}})
	}
	return all
}

// Choices is how many things may happen next, faults included.
func (w *World) Choices() int { return len(w.actions()) + len(w.faultActions()) }

// Step has one of them happen.
func (w *World) Step(choice int) {
	all := append(w.actions(), w.faultActions()...)
	w.trace = append(w.trace, all[choice].name)
	all[choice].do()
}

// Settle lets everything happen that can without faults, in a fair order, until nothing can; false if that takes too
// long.
func (w *World) Settle(limit int) bool {
	for i := range limit {
		all := w.actions()
		if len(all) == 0 {
			return true
		}
		next := all[i%len(all)]
		w.trace = append(w.trace, next.name)
		next.do()
	}
	return len(w.actions()) == 0
}

// write keeps what a fail-over goes back to: the state before the newest write.
func (w *World) write(do func()) {
	if w.faults.FailOvers > 0 {
		w.before = w.store.Save()
	}
	do()
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
	for _, c := range w.clients {
		c.check(settled)
	}
	if w.failure == nil {
		w.compare()
	}
	return w.failure
}

// lossy says that a relay and the store's newest writes may be lost together: then a client may have a gap, and is told.
func (w *World) lossy() bool {
	f := w.setup.Faults
	return f.FailOvers > 0 && f.Crashes+f.Pauses+f.Moves > 0
}

// compare looks whether all clients heard the same in the same place.
func (w *World) compare() {
	said := map[frames.LogPosition]string{}
	for _, c := range w.clients {
		for _, h := range c.heard {
			at := h.at
			if !w.lossy() {
				at.Epoch = 0 // numbers go on from epoch to epoch
			}
			if before, known := said[at]; known && before != h.text {
				w.fail("%v is %q for client %d, and %q for another", h.at, h.text, c.index, before)
			}
			said[at] = h.text
		}
	}
}

// Trace tells what has happened.
func (w *World) Trace() string { return strings.Join(w.trace, "\n") }
