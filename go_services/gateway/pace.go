package gateway

import (
	"sync"
	"time"
)

const (
	// paceLead is how long before a room's tick arrives its members' state leaves the gateway: the way to the relay and
	// back. So it gets there when the room ticks, which waits a little for it. State that leaves earlier has the relay
	// wake twice; state that leaves much later waits for the tick after.
	paceLead = 3 * time.Millisecond
	// paceDrift is what share of a delivery's lateness is believed: nearly all of it is jitter, not the tick.
	paceDrift = 64
	// paceMemory is how long a tick is remembered: clocks drift.
	paceMemory = time.Minute
)

// pace says when state should leave, so that what a room's members do in one tick goes to the relay in one message.
// It learns when the room ticks from when the room's state arrives, so that clocks need not agree.
type pace struct {
	batch    time.Duration // the longest wait before a tick is known
	interval time.Duration // of the room's ticks

	mu   sync.Mutex
	tick time.Time // when a tick's state arrived, had it come without delay
	seen time.Time
}

func newPace(batch, interval time.Duration) *pace { return &pace{batch: batch, interval: interval} }

// ticked takes when a tick's state arrived, or would have if the tick had not waited.
func (p *pace) ticked(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.known(now)
	p.seen = now
	if !known {
		p.tick = now
		return
	}
	ticks := (now.Sub(p.tick) + p.interval/2) / p.interval
	p.tick = p.tick.Add(ticks * p.interval)
	if late := now.Sub(p.tick); late > 0 {
		p.tick = p.tick.Add(late / paceDrift)
	} else {
		p.tick = now // nothing arrives before it was sent
	}
}

// forget has the room's time be learned anew: it is at another relay.
func (p *pace) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = time.Time{}
}

// wait says how long state that comes now should wait.
func (p *pace) wait(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.batch <= 0 {
		return 0
	}
	if !p.known(now) {
		return p.batch - now.Sub(now.Truncate(p.batch))
	}
	passed := now.Add(paceLead).Sub(p.tick) % p.interval
	if passed < 0 {
		passed += p.interval
	}
	return p.interval - passed
}

func (p *pace) known(now time.Time) bool {
	return p.interval > 2*paceLead && !p.seen.IsZero() && now.Sub(p.seen) < paceMemory
}
