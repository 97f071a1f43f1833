package socket

import "sync/atomic"

// Budget bounds the memory of all large messages that are being read, over all sockets: otherwise many clients that
// each begin one and never end it would fill the memory. Messages up to MaxControl are not counted.
type Budget struct{ left atomic.Int64 }

// NewBudget makes a budget of so many bytes.
func NewBudget(bytes int64) *Budget {
	b := &Budget{}
	b.left.Store(bytes)
	return b
}

// take lets a message grow from one size to another; false if there is no room.
func (b *Budget) take(from, to int) bool {
	n := counted(to) - counted(from)
	if n > 0 && b.left.Add(-n) < 0 {
		b.left.Add(n)
		return false
	}
	return true
}

// give returns what a message of this size took.
func (b *Budget) give(size int) { b.left.Add(counted(size)) }

func counted(size int) int64 {
	if size <= MaxControl {
		return 0
	}
	return int64(size)
}
