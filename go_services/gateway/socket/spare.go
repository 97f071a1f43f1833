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
	s.restore()
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

// restore holds back again what was lent; false if the process does not have it to spare.
func (s *spares) restore() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ; s.lent > 0; s.lent-- {
		file, err := os.Open(os.DevNull)
		if err != nil {
			return false
		}
		s.held = append(s.held, file)
	}
	return true
}

// close lets all of them go; what is still lent is not held back again.
func (s *spares) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, file := range s.held {
		_ = file.Close()
	}
	s.held, s.lent = nil, 0
}
