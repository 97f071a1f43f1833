package roomsim

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"
)

// settleLimit bounds how long a world may take to come to rest without faults.
const settleLimit = 5000

// Found is what a search or a run of a schedule has come to.
type Found struct {
	// States is how many different states were seen, Ends how many of them nothing could follow.
	States, Ends int
	// Err is what must not be and was, after Trace; nil if there was nothing.
	Err   error
	Trace string
	// Truncated says that the search had no time for all states.
	Truncated bool
}

// Search looks at every interleaving of a setup: all states that can be reached, each once, at most `limit` of them, with as many
// at the same time as there are processors.
func Search(setup Setup, limit int) Found {
	s := &search{setup: setup, limit: limit, seen: map[uint64]struct{}{}, others: make(chan struct{}, runtime.GOMAXPROCS(0)-1)}
	s.from(nil)
	s.running.Wait()
	return s.found
}

type search struct {
	setup   Setup
	limit   int
	running sync.WaitGroup
	others  chan struct{} // has one for each who searches beside the first

	mu    sync.Mutex
	seen  map[uint64]struct{}
	found Found
}

// from looks at the state after some choices, and at all that follow. A state is reached by doing everything again:
// the cores can't be copied, and need not be.
func (s *search) from(choices []int) {
	w := New(s.setup)
	for _, choice := range choices {
		w.do(w.next()[choice])
	}
	for {
		next, more := s.visit(w)
		if !more {
			return
		}
		for other := 1; other < len(next); other++ {
			s.branch(append(choices[:len(choices):len(choices)], other))
		}
		choices = append(choices[:len(choices):len(choices)], 0)
		w.do(next[0]) // the first of them needs not be reached anew
	}
}

func (s *search) overLocked() bool { return s.found.Err != nil || s.found.Truncated }

// branch searches from some choices on: beside this search, if there is a processor for it.
func (s *search) branch(choices []int) {
	s.mu.Lock()
	over := s.overLocked()
	s.mu.Unlock()
	if over {
		return
	}
	select {
	case s.others <- struct{}{}:
		s.running.Go(func() {
			defer func() { <-s.others }()
			s.from(choices)
		})
	default:
		s.from(choices)
	}
}

// visit checks a state, and says what may follow; false if nothing new can, or the search is over.
func (s *search) visit(w *World) ([]action, bool) {
	if !s.enter(w.Fingerprint()) {
		return nil, false
	}
	ordinary := w.actions()
	settled := len(ordinary) == 0
	next := append(ordinary, w.faultActions()...)
	err := w.Check(settled)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && s.found.Err == nil {
		s.found.Err, s.found.Trace = err, w.Trace()
	}
	if settled && err == nil {
		s.found.Ends++
	}
	return next, err == nil && len(next) > 0
}

// enter takes note of a state; false if it is known, or the search is over.
func (s *search) enter(print uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.seen[print]; known || s.overLocked() {
		return false
	}
	if len(s.seen) >= s.limit {
		s.found.Truncated = true
		return false
	}
	s.seen[print] = struct{}{}
	s.found.States++
	return true
}

// Play runs a random schedule: so many steps with faults among them, then what it takes to come to rest, and then until
// everybody is out whose connection is lost.
func Play(setup Setup, seed uint64, steps int) Found {
	random := rand.New(rand.NewPCG(seed, 0))
	w := New(setup)
	for range steps {
		ordinary, faults := w.actions(), w.faultActions()
		switch {
		case len(ordinary)+len(faults) == 0:
		case len(ordinary) == 0 || len(faults) > 0 && random.IntN(12) == 0:
			w.do(faults[random.IntN(len(faults))])
		default:
			w.do(ordinary[random.IntN(len(ordinary))])
		}
		if w.failure != nil {
			return Found{Err: w.failure, Trace: w.Trace()}
		}
	}
	err := w.comeToRest()
	if err == nil {
		w.visit() // a relay that takes the room begins to count anew
		err = w.comeToRest()
	}
	if err == nil {
		w.pass(hold + time.Second)
		err = w.comeToRest()
	}
	if err == nil {
		err = w.CheckAfterHold()
	}
	return Found{States: len(w.trace), Err: err, Trace: w.Trace()}
}

// visit lets somebody enter, so that the room is live.
func (w *World) visit() {
	c := &client{world: w, index: len(w.clients)}
	w.clients = append(w.clients, c)
	c.enter(w.gateways[0], nil)
}

// comeToRest lets everything happen that can, and checks what came of it.
func (w *World) comeToRest() error {
	if !w.Settle(settleLimit) {
		return fmt.Errorf("it does not come to rest within %d steps", settleLimit)
	}
	return w.Check(true)
}
