package main

import (
	"math"
	"time"
)

const (
	// calmWindow is over how long it is looked at how old steps are, and calmShare by how much that may change from one
	// window to the next when all is calm.
	calmWindow = time.Second
	calmShare  = 0.25
	// mostHalving is how often at most everybody begins to walk half as often. What costs are not steps but ticks with any:
	// in a room of fifty there are fewer of those only when each walks less than once in two seconds.
	mostHalving = 5
	// mostSilence is how often at most it is halved how often rooms say something: what is said shows when they live again.
	mostSilence = 2
)

// calmResult is how the machine was before anything went wrong.
type calmResult struct {
	Steady bool    `json:"calm_steady"`
	After  float64 `json:"calm_after_s"`
	// Halved is how often it was halved how often everybody walks.
	Halved int32 `json:"steps_halved"`
}

// calmDown waits until steps are seen about as fast in a second as in the one before: when many have just come in, they
// are not. What is calm begins then, or when it has waited for as long as the plan says. On a machine that has more to do
// than it can, nobody could tell what a fault adds: there everybody walks half as often, a few times at most.
func (l *load) calmDown() calmResult {
	start, w := time.Now(), wait{busy: l.plan.BusyMS, limit: l.plan.Settle}
	for !w.over {
		time.Sleep(calmWindow)
		if w.look(l.stepP99(time.Now().Add(-calmWindow))) {
			l.halved.Add(1)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calm = time.Now()
	return calmResult{Steady: w.steady, After: time.Since(start).Seconds(), Halved: w.halved}
}

// wait is the wait until all is calm.
type wait struct {
	busy   float64 // steps older than this, in ms, show a machine that is too busy
	limit  float64 // in seconds, for each pace at which everybody walks; three times that in all
	waited float64 // at this one
	total  float64
	before float64 // how old steps were in the window before; 0 if there was none
	halved int32
	steady bool
	over   bool
}

// look is told how old steps were in a window, in ms, and says whether everybody is to walk half as often.
func (w *wait) look(now float64) (halve bool) {
	w.waited += calmWindow.Seconds()
	w.total += calmWindow.Seconds()
	w.steady = steady(w.before, now)
	w.over = w.steady || w.waited >= w.limit
	halve = w.over && max(w.before, now) > w.busy && w.halved < mostHalving && w.total < 3*w.limit
	w.before = now
	if halve {
		w.halved++
		w.waited, w.before, w.steady, w.over = 0, 0, false, false
	}
	return halve
}

// steady says whether two percentiles are about the same. None is below 0.
func steady(before, now float64) bool {
	return before > 0 && now > 0 && math.Abs(now-before) <= calmShare*min(before, now)
}

// stepP99 is how old the steps were that were seen since a time, in ms.
func (l *load) stepP99(since time.Time) float64 {
	var ages []float64
	for _, room := range l.rooms {
		ages = append(ages, room.agesSince(since)...)
	}
	return percentile(ages, 0.99)
}
