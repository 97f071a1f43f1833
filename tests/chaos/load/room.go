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
	latencies []float64 // of answers, in ms
	states    []time.Time
	steps     []step

	refusals int
	untimely int // refusals that do not say when to try again
	came     map[position]bool
	went     map[position]bool
}

// step is how old a step was when somebody saw it.
type step struct {
	seen time.Time
	age  time.Duration
}

func newRoom(id string) *room {
	return &room{
		id: id, said: map[string]time.Time{}, done: map[string]time.Time{}, came: map[position]bool{}, went: map[position]bool{},
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

func (r *room) acked(text string, latency time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done[text] = time.Now()
	r.latencies = append(r.latencies, float64(latency.Microseconds())/1000)
}

// state takes note that the state channel lives; a few a second are enough.
func (r *room) state() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if n := len(r.states); n == 0 || now.Sub(r.states[n-1]) > 5*time.Millisecond {
		r.states = append(r.states, now)
	}
}

func (r *room) stepSeen(at time.Time, age time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps = append(r.steps, step{at, age})
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

// forgetComing has only those counted who come and go from now on.
func (r *room) forgetComing() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.came)
	clear(r.went)
}
