package main

import (
	"sync"

	"github.com/Shopify/toxiproxy/v2/toxics"
)

// stall is a network that takes nothing any more and says nothing of it, neither of data nor of an end: as when a cable
// is pulled. What was on its way arrives when it is over, as TCP sends it again.
//
// It is put into a link once, begins and ends by its gate, and is not taken out: with other faults toxiproxy waits five
// seconds for each connection that nobody reads from any more before the other way is good again.
type stall struct {
	Gate string `json:"gate"` // the link, and the way
}

// gate is whether something gets through.
type gate struct {
	stalled bool
	changed chan struct{} // closed by the next change
}

// gates are those of all links, by name.
var gates struct {
	sync.Mutex
	now map[string]gate
}

func gateOf(name string) gate {
	gates.Lock()
	defer gates.Unlock()
	g, known := gates.now[name]
	if !known {
		if gates.now == nil {
			gates.now = map[string]gate{}
		}
		g = gate{changed: make(chan struct{})}
		gates.now[name] = g
	}
	return g
}

// setGate stalls what goes through a gate, or lets it through.
func setGate(name string, stalled bool) {
	before := gateOf(name)
	gates.Lock()
	defer gates.Unlock()
	gates.now[name] = gate{stalled: stalled, changed: make(chan struct{})}
	close(before.changed)
}

// Pipe lets through what there is while its gate does.
func (s *stall) Pipe(stub *toxics.ToxicStub) {
	for {
		g := gateOf(s.Gate)
		input := stub.Input
		if g.stalled {
			input = nil
		}
		select {
		case <-stub.Interrupt:
			return
		case <-g.changed:
		case c := <-input:
			if c == nil {
				stub.Close()
				return
			}
			stub.Output <- c
		}
	}
}

func init() { toxics.Register("stall", new(stall)) }
