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
	// busy is how old steps are (p99, in ms) on a machine that has more to do than it can while all is calm: then nobody
	// could tell what a fault adds, and everybody walks half as often, so often at most.
	busy        = 250
	mostHalving = 3
)

// calmResult is how the machine was before anything went wrong.
type calmResult struct {
	Steady bool    `json:"calm_steady"`
	After  float64 `json:"calm_after_s"`
	// Halved is how often it was halved how often everybody walks.
	Halved int32 `json:"steps_halved,omitempty"`
}

// calmDown waits until steps are seen about as fast in a second as in the one before: when many have just come in, they
// are not. What is calm begins then, or when it has waited for as long as the plan says. On a machine that is too busy it
// begins when there are so few steps that it is not.
func (l *load) calmDown() calmResult {
	start, r := time.Now(), calmResult{}
	limit := time.Duration(l.plan.Settle * float64(time.Second))
	for since, before := start, 0.0; !r.Steady && time.Since(since) < limit; {
		time.Sleep(calmWindow)
		now := l.stepP99(time.Now().Add(-calmWindow))
		r.Steady = steady(before, now)
		before = now
		if now > busy && (r.Steady || time.Since(since) >= limit) && r.Halved < mostHalving {
			r.Halved = l.halved.Add(1)
			since, before, r.Steady = time.Now(), 0, false
		}
	}
	r.After = time.Since(start).Seconds()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calm = time.Now()
	return r
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
