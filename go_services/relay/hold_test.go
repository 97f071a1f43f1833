package relay

import (
	"testing"
	"time"

	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
)

// A tick that is due waits for gateways that have not told yet, comes when they have, and without them after the grace.
func TestATickComesWhenAllGatewaysHaveTold(t *testing.T) {
	c := newCrowdedRoom(t, 4, 100, "")
	live, interval := c.live, c.live.core.TickInterval()
	walk := func(stream int) {
		for i := range 4 {
			in := step(20)
			in.Link = uint32(i + 1)
			play(t, c.server, live, c.streams[stream], &roomv1.AttachRequest_Inputs{Steps: stepsOf(in)})
		}
	}
	due := func(steady ...int) { // a tick is due now, before which members walk by these
		live.mu.Lock()
		defer live.mu.Unlock()
		live.timer.Stop()
		live.due, live.held = live.clock.now(), false
		for _, s := range c.streams {
			s.walks = walks{}
		}
		for _, s := range steady {
			c.streams[s].walks = walks{last: live.due.Add(-interval), steady: true}
		}
	}
	ran := func() time.Time {
		live.mu.Lock()
		defer live.mu.Unlock()
		return live.ran
	}

	before := ran()
	due()
	live.tick()
	if ran() == before {
		t.Error("a tick waits for nobody")
	}

	due(0, 1)
	before = ran()
	live.tick()
	if ran() != before {
		t.Fatal("a tick does not wait for two gateways")
	}
	live.timer.Stop() // on a busy machine the grace is over before they have told
	walk(0)
	if ran() != before {
		t.Error("it does not wait for the second")
	}
	walk(1)
	if ran() == before {
		t.Error("it does not come when both have told")
	}

	due(0)
	before = ran()
	live.tick()
	until(t, "the tick comes without a gateway that tells nothing", func() bool { return ran() != before })
}

// What came early for a tick does not have it come before it is due.
func TestATimerThatIsLateForOneTickIsNotEarlyForTheNext(t *testing.T) {
	c := newCrowdedRoom(t, 4, 100, "")
	c.live.mu.Lock()
	before := c.live.ran
	c.live.due = c.live.clock.now().Add(time.Hour)
	c.live.mu.Unlock()
	c.live.tick()
	c.live.mu.Lock()
	defer c.live.mu.Unlock()
	if c.live.ran != before {
		t.Error("it came an hour early")
	}
}
