package relay

import "time"

const (
	// tempoWindow is over how long it is looked at what a room costs.
	tempoWindow = time.Second
	// tempoMost is the share of a core that a room may take before it ticks more slowly, and tempoLeast the share below
	// which it ticks faster again: with twice the ticks it takes at most twice as much.
	tempoMost, tempoLeast = 0.5, 0.2
	// tempoCalm is how many windows it must take less before it ticks faster again.
	tempoCalm = 3
	// maxHalvings bounds how slow it gets: an eighth.
	maxHalvings = 3
)

// tempo is how fast a room ticks: as it should, or half as fast, and half of that, while it takes too much of a core. So
// a room that is more than a core can do gets worse by itself, and not the others with it.
type tempo struct {
	nominal  time.Duration
	halvings int

	began time.Time // of the window
	busy  time.Duration
	calm  int
}

// interval is the time between two ticks.
func (t *tempo) interval() time.Duration { return t.nominal << t.halvings }

// worked takes what the room has cost.
func (t *tempo) worked(d time.Duration) { t.busy += d }

// look changes the tempo if it is time to; by +1 if the room ticks more slowly now, by -1 if faster.
func (t *tempo) look(now time.Time) (change int) {
	passed := now.Sub(t.began)
	if passed < tempoWindow {
		return 0
	}
	share := float64(t.busy) / float64(passed)
	t.began, t.busy = now, 0
	switch {
	case share > tempoMost:
		t.calm = 0
		if t.halvings < maxHalvings {
			t.halvings++
			return 1
		}
	case share < tempoLeast:
		t.calm++
	default:
		t.calm = 0
	}
	if t.calm >= tempoCalm && t.halvings > 0 {
		t.calm = 0
		t.halvings--
		return -1
	}
	return 0
}
