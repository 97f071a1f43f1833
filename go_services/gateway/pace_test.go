package gateway

import (
	"math/rand/v2"
	"testing"
	"time"
)

const interval = 50 * time.Millisecond

var epoch = time.Unix(1_000_000, 0)

func TestStateLeavesShortlyBeforeTheTick(t *testing.T) {
	p := newPace(5*time.Millisecond, interval)
	if wait := p.wait(epoch.Add(time.Millisecond)); wait != 4*time.Millisecond {
		t.Errorf("before any tick is known state waits %v", wait)
	}
	p.ticked(epoch.Add(7 * time.Millisecond)) // so it ticks at 7, 57, 107, …
	for after, want := range map[time.Duration]time.Duration{
		8 * time.Millisecond:   57*time.Millisecond - paceLead - 8*time.Millisecond,
		40 * time.Millisecond:  57*time.Millisecond - paceLead - 40*time.Millisecond,
		56 * time.Millisecond:  107*time.Millisecond - paceLead - 56*time.Millisecond, // too late for 57
		57 * time.Millisecond:  107*time.Millisecond - paceLead - 57*time.Millisecond,
		907 * time.Millisecond: 957*time.Millisecond - paceLead - 907*time.Millisecond,
	} {
		if wait := p.wait(epoch.Add(after)); wait != want {
			t.Errorf("after %v it waits %v, not %v", after, wait, want)
		}
	}
}

func TestJitterDoesNotDisturbThePace(t *testing.T) {
	p := newPace(5*time.Millisecond, interval)
	random := rand.New(rand.NewPCG(1, 2))
	now := epoch
	for range 1000 {
		now = now.Add(interval)
		delay := time.Duration(random.IntN(4_000_000))
		if random.IntN(20) == 0 {
			delay += 20 * time.Millisecond // now and then something holds everything up
		}
		p.ticked(now.Add(delay))
		if random.IntN(3) == 0 {
			now = now.Add(time.Duration(random.IntN(40)) * interval) // a room where nothing moves does not tick
		}
	}
	leaves := now.Add(time.Millisecond).Add(p.wait(now.Add(time.Millisecond)))
	if early := now.Add(interval).Sub(leaves); early < paceLead-4*time.Millisecond || early > paceLead {
		t.Errorf("it leaves %v before the tick", early)
	}
}

func TestARoomThatMovedToAnotherRelayTicksAtOtherTimes(t *testing.T) {
	p := newPace(5*time.Millisecond, interval)
	p.ticked(epoch)
	p.forget()
	if wait := p.wait(epoch.Add(11 * time.Millisecond)); wait != 4*time.Millisecond {
		t.Errorf("before a tick of the other relay is known state waits %v", wait)
	}
	moved := epoch.Add(20 * time.Millisecond)
	p.ticked(moved)
	if wait := p.wait(moved); wait != interval-paceLead {
		t.Errorf("it waits %v after a tick", wait)
	}
}

func TestClocksDriftApart(t *testing.T) {
	p := newPace(5*time.Millisecond, interval)
	now := epoch
	for range 20 * 60 { // a relay whose clock loses 100 µs a second
		now = now.Add(interval + 5*time.Microsecond)
		p.ticked(now)
	}
	if wait := p.wait(now); wait < interval-paceLead-time.Millisecond || wait > interval-paceLead {
		t.Errorf("it waits %v after a tick", wait)
	}
}

func TestPaceOfRoomsThatTickQuickly(t *testing.T) {
	p := newPace(5*time.Millisecond, 2*paceLead)
	p.ticked(epoch)
	if wait := p.wait(epoch.Add(6 * time.Millisecond)); wait != 4*time.Millisecond {
		t.Errorf("it waits %v: the lead does not fit into the tick", wait)
	}
}
