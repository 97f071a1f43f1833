package relay

import (
	"testing"
	"time"
)

func TestWhenARoomTicksNext(t *testing.T) {
	const interval, phase = 50 * time.Millisecond, 25 * time.Millisecond
	at := func(ms float64) time.Time {
		return time.Unix(1_000_000, 0).Add(time.Duration(ms * float64(time.Millisecond)))
	}
	tests := map[string]struct{ now, ran, due float64 }{
		"in the middle of an interval":                            {now: 50, ran: 25, due: 75},
		"shortly after a tick that there was not":                 {now: 29, ran: -975, due: 25},
		"shortly after one that there was":                        {now: 29, ran: 25, due: 75},
		"long after one that there was not":                       {now: 64, ran: -25, due: 25},
		"after one that there was not, and right before the next": {now: 66, ran: -25, due: 75},
		"when it is due":                                          {now: 25, ran: -25, due: 25},
		"after one that came an interval late":                    {now: 77, ran: 76, due: 125},
		"right before it":                                         {now: 24, ran: -975, due: 25},
	}
	for name, test := range tests {
		if due := dueOf(at(test.now), at(test.ran), phase, interval); !due.Equal(at(test.due)) {
			t.Errorf("%s: due %v later than it should be", name, due.Sub(at(test.due)))
		}
	}
}

func TestATickWaitsForWhoWalksAllTheTime(t *testing.T) {
	const interval = 50 * time.Millisecond
	begin := time.Unix(1_000_000, 0)
	at := func(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }
	var w walks
	if w.expected(at(0), interval) {
		t.Error("nobody walks, and the tick waits")
	}
	w.note(at(1), interval)
	if w.expected(at(50), interval) {
		t.Error("somebody took one step, and the tick waits")
	}
	w.note(at(51), interval) // for the tick at 50
	if w.expected(at(50), interval) {
		t.Error("they have told of the tick, and it waits")
	}
	if !w.expected(at(100), interval) {
		t.Error("the next tick does not wait")
	}
	w.note(at(97), interval)
	if w.expected(at(100), interval) {
		t.Error("they were early, and the tick waits")
	}
	if !w.expected(at(150), interval) || w.expected(at(200), interval) {
		t.Error("who has stopped is waited for once")
	}
}

func TestATickDoesNotWaitForWhoIsAlwaysLate(t *testing.T) {
	const interval = 50 * time.Millisecond
	begin := time.Unix(1_000_000, 0)
	var w walks
	for tick := range 100 {
		due := begin.Add(time.Duration(tick) * interval)
		if w.expected(due, interval) {
			t.Fatal("the tick waits")
		}
		w.note(due.Add(graceOf(interval)+time.Millisecond), interval)
	}
}

func TestABurstIsNoSteadyWalk(t *testing.T) {
	const interval = 50 * time.Millisecond
	begin := time.Unix(1_000_000, 0)
	var w walks
	w.note(begin, interval)
	w.note(begin.Add(5*time.Millisecond), interval)
	if w.expected(begin.Add(interval), interval) {
		t.Error("the tick waits")
	}
}
