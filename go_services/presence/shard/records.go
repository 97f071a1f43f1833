package shard

import (
	"math/bits"
	"math/rand/v2"
)

// record is one session, in 56 bytes without a pointer: so a million of them are no work for the garbage collector.
type record struct {
	user, session id
	since         int64  // when the user came online, in milliseconds; the same in all the user's sessions
	room          uint32 // of Shard.rooms
	device        uint32 // of Shard.devices
	next          uint32 // the user's next session, or the next free record; 0 if there is none
	gateway       uint16 // of Shard.gateways; 0 if the record is free
	round         uint16 // the gateway's round in which the session was last named
}

const (
	// slabRecords records are allocated at once: they never move, and fill one of the allocator's sizes (28 KiB).
	slabRecords = 512
	// indexParts share the users, so that one of them grows quickly while the shard waits.
	indexParts = 64
)

// records holds sessions by number, and finds a user's first.
type records struct {
	slabs []*[slabRecords]record
	end   uint32 // the first number that was never used; 0 is none
	free  uint32
	seed  uint64
	index [indexParts]indexPart
	users int
}

// indexPart is a hash table with linear probing. It holds numbers of records; the keys are the records' users.
type indexPart struct {
	slots []uint32 // a power of two; 0 is empty
	used  int
}

func newRecords() *records { return &records{end: 1, seed: rand.Uint64()} }

func (r *records) at(number uint32) *record {
	return &r.slabs[number/slabRecords][number%slabRecords]
}

// take is a free record.
func (r *records) take() uint32 {
	if number := r.free; number != 0 {
		r.free = r.at(number).next
		return number
	}
	if int(r.end/slabRecords) == len(r.slabs) {
		r.slabs = append(r.slabs, new([slabRecords]record))
	}
	r.end++
	return r.end - 1
}

func (r *records) give(number uint32) {
	*r.at(number) = record{next: r.free}
	r.free = number
}

// part is a user's part of the index, and where in it to look first.
func (r *records) part(user id) (part *indexPart, hash uint32) {
	high, low := bits.Mul64(user.high^r.seed, user.low^0x9e3779b97f4a7c15)
	h := high ^ low
	return &r.index[h>>58], uint32(h)
}

// first is the user's first session, and its place in the part; 0 if the user has none.
func (r *records) first(user id) (number uint32) {
	part, hash := r.part(user)
	if len(part.slots) == 0 {
		return 0
	}
	return part.slots[r.slot(part, user, hash)]
}

// slot is where a user is in its part, or the empty slot where it would be.
func (r *records) slot(part *indexPart, user id, hash uint32) uint32 {
	mask := uint32(len(part.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		if number := part.slots[i]; number == 0 || r.at(number).user == user {
			return i
		}
	}
}

// enter makes a record the first of a user who has none.
func (r *records) enter(user id, number uint32) {
	part, hash := r.part(user)
	if 4*(part.used+1) > 3*len(part.slots) {
		r.grow(part)
	}
	part.slots[r.slot(part, user, hash)] = number
	part.used++
	r.users++
}

func (r *records) grow(part *indexPart) {
	old := part.slots
	part.slots = make([]uint32, max(4, 2*len(old)))
	for _, number := range old {
		if number != 0 {
			user := r.at(number).user
			_, hash := r.part(user)
			part.slots[r.slot(part, user, hash)] = number
		}
	}
}

// replace makes another record of the user the first; 0: the user has none any more. Call it while the old one is there.
func (r *records) replace(user id, number uint32) {
	part, hash := r.part(user)
	hole := r.slot(part, user, hash)
	part.slots[hole] = number
	if number != 0 {
		return
	}
	part.used--
	r.users--
	// Those behind move up unless they would come to stand before where they are looked for first.
	mask := uint32(len(part.slots) - 1)
	for i := (hole + 1) & mask; part.slots[i] != 0; i = (i + 1) & mask {
		_, hash := r.part(r.at(part.slots[i]).user)
		if home := hash & mask; (i-home)&mask >= (i-hole)&mask {
			part.slots[hole], part.slots[i] = part.slots[i], 0
			hole = i
		}
	}
}
