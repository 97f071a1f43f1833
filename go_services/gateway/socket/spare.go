package socket

import (
	"os"
	"sync"
)

// spares are descriptors that are held back: when the process has no others left, a client can still be taken in, to be
// told that it should come back later. Without them it would wait, unheard, until some other socket closes.
type spares struct {
	mu   sync.Mutex
	held []*os.File
	lent int
}

// newSpares holds back as many as it gets.
func newSpares(count int) *spares {
	s := &spares{lent: count}
	for s.restore() {
	}
	return s
}

// lend frees a descriptor; false if all are lent.
func (s *spares) lend() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.held) - 1
	if last < 0 {
		return false
	}
	_ = s.held[last].Close()
	s.held = s.held[:last]
	s.lent++
	return true
}

// restore holds one back again; false if the process has none to spare, or none is lent.
func (s *spares) restore() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lent == 0 {
		return false
	}
	file, err := os.Open(os.DevNull)
	if err != nil {
		return false
	}
	s.held = append(s.held, file)
	s.lent--
	return true
}

func (s *spares) close() {
	for s.lend() {
	}
}
