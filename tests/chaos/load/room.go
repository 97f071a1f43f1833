package main

import (
	"sync"
	"time"
)

// room is what was said in a room, and when.
type room struct {
	id string

	mu        sync.Mutex
	said      map[string]time.Time
	done      map[string]time.Time
	by        map[string]int // by which gateway it was answered
	latencies []float64      // of answers, in ms
	states    []stateSeen
	steps     []step

	refusals int
	untimely int // refusals that do not say when to try again
	came     map[position]bool
	went     map[position]bool
	words    map[spot]string // what somebody heard there first
	split    map[spot]bool   // where somebody heard something else
}

// spot is a place in the ordered channel, whichever relay said it: numbers go on from one epoch to the next.
type spot struct {
	seq uint64
	sub uint32
}

func (p position) spot() spot { return spot{p.seq, p.sub} }

// anyGateway is for whoever, wherever.
const anyGateway = -1

// stateSeen is when there was state at a gateway.
type stateSeen struct {
	at      time.Time
	gateway int
}

// step is how old a step was when somebody saw it.
type step struct {
	seen time.Time
	age  time.Duration
}

func newRoom(id string) *room {
	return &room{
		id: id, said: map[string]time.Time{}, done: map[string]time.Time{}, by: map[string]int{},
		came: map[position]bool{}, went: map[position]bool{}, words: map[spot]string{}, split: map[spot]bool{},
	}
}

func (r *room) saying(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said[text] = time.Now()
}

func (r *room) saidBefore(text string, at time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.said[text].Before(at)
}

func (r *room) acked(text string, gateway int, latency time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done[text], r.by[text] = time.Now(), gateway
	r.latencies = append(r.latencies, float64(latency.Microseconds())/1000)
}

// state takes note that the state channel lives at a gateway; a few a second are enough.
func (r *room) state(gateway int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for i := len(r.states) - 1; i >= 0 && now.Sub(r.states[i].at) <= 5*time.Millisecond; i-- {
		if r.states[i].gateway == gateway {
			return
		}
	}
	r.states = append(r.states, stateSeen{now, gateway})
}

// liveAfter is how long after the mark something was answered, at a gateway, that was said when the fault had struck: until
// now, if nothing was. The caller has the lock.
func (r *room) liveAfter(mark, struck time.Time, gateway int) time.Duration {
	least := time.Since(mark)
	for text, at := range r.done {
		if r.said[text].After(struck) && (gateway == anyGateway || gateway == r.by[text]) {
			least = min(least, at.Sub(mark))
		}
	}
	return least
}

// silence is the longest time without any state at a gateway between two moments. The caller has the lock.
func (r *room) silence(from, to time.Time, gateway int) (longest time.Duration) {
	for _, s := range r.states {
		if s.at.After(from) && s.at.Before(to) && (gateway == anyGateway || gateway == s.gateway) {
			longest, from = max(longest, s.at.Sub(from)), s.at
		}
	}
	return max(longest, to.Sub(from))
}

func (r *room) stepSeen(at time.Time, age time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps = append(r.steps, step{at, age})
}

// agesSince is how old steps were that were seen since a time, in ms.
func (r *room) agesSince(since time.Time) (ages []float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := len(r.steps) - 1; i >= 0 && r.steps[i].seen.After(since); i-- {
		ages = append(ages, ms(r.steps[i].age))
	}
	return ages
}

func (r *room) refused(timely bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refusals++
	if !timely {
		r.untimely++
	}
}

// cameOrWent takes note of an event that tells of a member, once however many hear it.
func (r *room) cameOrWent(which *map[position]bool, at position) {
	r.mu.Lock()
	defer r.mu.Unlock()
	(*which)[at] = true
}

// heard takes note of what a client heard somewhere: all must hear the same there.
func (r *room) heard(at position, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	place := at.spot()
	if first, known := r.words[place]; known && first != text {
		r.split[place] = true
	}
	r.words[place] = text
}

// forgetComing has only those counted who come and go from now on.
func (r *room) forgetComing() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.came)
	clear(r.went)
}
