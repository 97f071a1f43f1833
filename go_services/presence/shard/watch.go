package shard

import "math/bits"

// MaxWatched bounds the users of one watch; the contract has a smaller bound.
const MaxWatched = 256

// Watch remembers which of its users have changed, not how often: a slow reader gets the newest of each, and what it
// costs does not grow with the changes. Its fields belong to the shard.
type Watch struct {
	users []id
	due   [MaxWatched / 64]uint64 // a bit a user
	begun bool
	woken bool
	wake  func()
}

// watching is a user's place in a watch.
type watching struct {
	watch *Watch
	at    int
}

// Watch begins a watch of users: all are due at once. Wake is called when one becomes due, and not again until Take;
// it must return at once. Of more than MaxWatched users the rest is not watched.
func (s *Shard) Watch(users []string, wake func()) *Watch {
	w := &Watch{wake: wake}
	for at, user := range users[:min(len(users), MaxWatched)] {
		i := s.userIDs.hold(user)
		w.users = append(w.users, i)
		s.watched[i] = append(s.watched[i], watching{w, at})
		w.mark(at)
	}
	s.watches[w] = struct{}{}
	return w
}

// Unwatch ends a watch.
func (s *Shard) Unwatch(w *Watch) {
	for _, user := range w.users {
		rest := s.watched[user]
		for i, other := range rest {
			if other.watch == w {
				rest[i], rest[len(rest)-1] = rest[len(rest)-1], watching{}
				rest = rest[:len(rest)-1]
				break
			}
		}
		if len(rest) == 0 {
			delete(s.watched, user)
		} else {
			s.watched[user] = rest
		}
		s.userIDs.release(user)
	}
	w.users = nil
	delete(s.watches, w)
}

// Take is the newest of the users who have changed since the last time, and at first of all. Those of whom nothing is
// known yet stay due.
func (s *Shard) Take(w *Watch) []Presence {
	w.woken = false
	var presences []Presence
	for word, due := range w.due {
		for ; due != 0; due &= due - 1 {
			bit := bits.TrailingZeros64(due)
			p := s.presence(w.users[64*word+bit])
			if !p.Unknown {
				w.due[word] &^= 1 << bit
			}
			if !p.Unknown || !w.begun {
				presences = append(presences, p)
			}
		}
	}
	w.begun = true
	return presences
}

// mark makes a user due; false if it was.
func (w *Watch) mark(at int) bool {
	word, bit := &w.due[at/64], uint64(1)<<(at%64)
	fresh := *word&bit == 0
	*word |= bit
	w.stir()
	return fresh
}

func (w *Watch) stir() {
	if !w.woken {
		w.woken = true
		w.wake()
	}
}

// changed makes a user due in all its watches.
func (s *Shard) changed(user id) {
	s.counts.Changes++
	for _, place := range s.watched[user] {
		if !place.watch.mark(place.at) {
			s.counts.Merged++
		}
	}
}
