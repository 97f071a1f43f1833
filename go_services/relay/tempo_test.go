package relay

import (
	"testing"
	"time"

	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
)

// run has a room work for some seconds, of which each tick takes a share of the nominal interval; it returns the
// halvings at the end.
func (t *tempo) run(now *time.Time, seconds int, tick, inputs time.Duration) int {
	for end := now.Add(time.Duration(seconds) * time.Second); now.Before(end); {
		*now = now.Add(t.interval())
		t.worked(tick + inputs*time.Duration(1<<t.halvings))
		t.look(*now)
	}
	return t.halvings
}

func TestARoomThatCostsTooMuchTicksMoreSlowlyAndRecovers(t *testing.T) {
	now := time.UnixMilli(0)
	tempo := &tempo{nominal: 50 * time.Millisecond, began: now}
	for _, step := range []struct {
		what    string
		seconds int
		tick    time.Duration
		inputs  time.Duration // between two ticks at the nominal rate
		want    int
	}{
		{"a small room", 10, 100 * time.Microsecond, 0, 0},
		{"a large room that is bearable", 10, 20 * time.Millisecond, 0, 0},
		{"twice of what a core can do", 10, 100 * time.Millisecond, 0, 2},
		{"it stays so", 100, 100 * time.Millisecond, 0, 2},
		{"more than ticks can save", 10, 50 * time.Millisecond, 40 * time.Millisecond, 3},
		{"half of them have left", 10, 30 * time.Millisecond, 0, 1},
		{"it is bearable again, but only just", 30, 22 * time.Millisecond, 0, 1},
		{"all but a few have left", 10, time.Millisecond, 0, 0},
	} {
		if got := tempo.run(&now, step.seconds, step.tick, step.inputs); got != step.want {
			t.Errorf("%s: %d halvings, not %d", step.what, got, step.want)
		}
	}
}

func TestARoomThatRestedTicksAsItShould(t *testing.T) {
	now := time.UnixMilli(0)
	tempo := &tempo{nominal: 50 * time.Millisecond, began: now}
	if tempo.run(&now, 5, 200*time.Millisecond, 0); tempo.halvings == 0 {
		t.Fatal("it does not slow down")
	}
	for range 30 { // something happens now and then
		now = now.Add(time.Minute)
		tempo.worked(time.Millisecond)
		tempo.look(now)
	}
	if tempo.halvings != 0 {
		t.Errorf("%d halvings", tempo.halvings)
	}
}

// A room in which nobody does anything does not tick.
func TestASlowedRoomThatFallsSilentIsSlowNoMore(t *testing.T) {
	live := liveRoomOn(quietHub(), "room_a", &roomv1.RoomConfig{Capacity: 5, Width: 40, Depth: 40, TickHz: 20, MaxSpeed: 8})
	live.tempo.halvings = 2
	for range 2 * tempoCalm {
		live.tempo.began = live.tempo.began.Add(-tempoWindow)
		live.idle()
	}
	if live.tempo.halvings != 0 {
		t.Errorf("%d halvings", live.tempo.halvings)
	}
}
