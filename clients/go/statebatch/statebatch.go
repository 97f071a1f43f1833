// Package statebatch is the state channel as the FlatBuffers dialect has it: where entities are. That is most of what is
// sent, so a batch is packed, and no table of FlatBuffers; docs/wire.md has its layout. Servers write it, and clients in Go
// read it, by this package.
package statebatch

import (
	"encoding/binary"
	"errors"
	"math"
)

// Vec3 is a place in metres; Y points up.
type Vec3 struct{ X, Y, Z float32 }

// State is the state of one entity.
type State struct {
	// Entity is the entity's id in its room and epoch.
	Entity uint32
	// Position is to whole centimetres in a batch.
	Position Vec3
	// Yaw is in 65536ths of a turn, clockwise seen from above; 0 is north.
	Yaw uint16
	// Animation is by the clients' numbering.
	Animation uint16
}

// Values is what an application syncs with an entity; opaque to the server.
type Values struct {
	Entity uint32
	Values []byte
}

// Batch is the newest state of entities that changed, and of those that came into sight.
type Batch struct {
	Tick   uint64
	States []State
	// Values are of some of the entities that have states, in the same order: others are not written. Empty ones say nothing.
	Values []Values
	// Gone are the entities that are out of sight from now on. They and Anew count before the states.
	Gone []uint32
	// Anew says that all who are not told of here, or in what follows, are out of sight.
	Anew bool
}

// The lowest bits of a batch's first byte. All other frames begin with an offset that is a multiple of 4.
const (
	packedMask = 0b11
	packed     = 0b01
	packedAnew = 1 << 2
	packedGone = 1 << 3
	packedKind = packed | packedAnew | packedGone // all bits that are known
)

// What an entity's number carries in its lowest bits: which of these follow.
const (
	hasY         = 1 << 0
	hasAnimation = 1 << 1
	hasValues    = 1 << 2
	entityShift  = 3
)

// Why a frame can't be read.
var (
	// ErrBroken: it is cut short, or has a number that is too large.
	ErrBroken = errors.New("the state batch is broken")
	// ErrNewer: it is of a later version. A client ignores it.
	ErrNewer = errors.New("the state batch is of a later version")
)

// Is says whether a frame is a state batch, and no table of FlatBuffers.
func Is(frame []byte) bool { return len(frame) > 0 && frame[0]&packedMask != 0 }

// centimetres is a length as a state batch has it.
func centimetres(metres float32) int64 {
	c := math.Round(float64(metres) * 100)
	if c != c { // NaN
		return 0
	}
	return int64(max(math.MinInt32, min(math.MaxInt32, c)))
}

func metres(centimetres int64) float32 { return float32(float64(centimetres) / 100) }

// Rounded is the place to whole centimetres: so it is the same in every frame.
func (v Vec3) Rounded() Vec3 {
	return Vec3{metres(centimetres(v.X)), metres(centimetres(v.Y)), metres(centimetres(v.Z))}
}

// Append appends a batch.
func Append(b []byte, m *Batch) []byte {
	first := byte(packed)
	if m.Anew {
		first |= packedAnew
	}
	if len(m.Gone) > 0 {
		first |= packedGone
	}
	b = binary.AppendUvarint(append(b, first), m.Tick)
	if len(m.Gone) > 0 {
		b = binary.AppendUvarint(b, uint64(len(m.Gone)))
		for _, entity := range m.Gone {
			b = binary.AppendUvarint(b, uint64(entity))
		}
	}
	values := m.Values
	for _, s := range m.States {
		if len(values) > 0 && values[0].Entity == s.Entity {
			b = appendState(b, s, values[0].Values)
			values = values[1:]
		} else {
			b = appendState(b, s, nil)
		}
	}
	return b
}

func appendState(b []byte, s State, values []byte) []byte {
	number, y := uint64(s.Entity)<<entityShift, centimetres(s.Position.Y)
	if y != 0 {
		number |= hasY
	}
	if s.Animation != 0 {
		number |= hasAnimation
	}
	if len(values) > 0 {
		number |= hasValues
	}
	b = binary.AppendUvarint(b, number)
	b = binary.AppendVarint(b, centimetres(s.Position.X))
	b = binary.AppendVarint(b, centimetres(s.Position.Z))
	b = binary.LittleEndian.AppendUint16(b, s.Yaw)
	if y != 0 {
		b = binary.AppendVarint(b, y)
	}
	if s.Animation != 0 {
		b = binary.AppendUvarint(b, uint64(s.Animation))
	}
	if len(values) > 0 {
		b = append(binary.AppendUvarint(b, uint64(len(values))), values...)
	}
	return b
}

// Read reads a frame into slices that are used again. Values are parts of the frame.
func (m *Batch) Read(frame []byte) error {
	m.States, m.Values, m.Gone = m.States[:0], m.Values[:0], m.Gone[:0]
	switch {
	case !Is(frame):
		return ErrBroken
	case frame[0]&packedMask != packed, frame[0]&^packedKind != 0:
		return ErrNewer
	}
	m.Anew = frame[0]&packedAnew != 0
	r := reader{rest: frame[1:]}
	m.Tick = r.unsigned(math.MaxUint64)
	if frame[0]&packedGone != 0 {
		for range r.unsigned(uint64(len(r.rest))) {
			m.Gone = append(m.Gone, uint32(r.unsigned(math.MaxUint32)))
		}
	}
	for len(r.rest) > 0 && !r.broken {
		r.state(m)
	}
	if r.broken {
		return ErrBroken
	}
	return nil
}

// reader reads the parts of a state batch; once one is broken, all that follow are zero.
type reader struct {
	rest   []byte
	broken bool
}

func (r *reader) state(m *Batch) {
	number := r.unsigned(1<<(32+entityShift) - 1)
	s := State{Entity: uint32(number >> entityShift)}
	s.Position.X, s.Position.Z = r.metres(), r.metres()
	if yaw := r.bytes(2); yaw != nil {
		s.Yaw = binary.LittleEndian.Uint16(yaw)
	}
	if number&hasY != 0 {
		s.Position.Y = r.metres()
	}
	if number&hasAnimation != 0 {
		s.Animation = uint16(r.unsigned(math.MaxUint16))
	}
	m.States = append(m.States, s)
	if number&hasValues != 0 {
		m.Values = append(m.Values, Values{Entity: s.Entity, Values: r.bytes(r.unsigned(uint64(len(r.rest))))})
	}
}

func (r *reader) unsigned(most uint64) uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 || n > most {
		r.broken, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *reader) metres() float32 {
	n, size := binary.Varint(r.rest)
	if size <= 0 || n != int64(int32(n)) {
		r.broken, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[size:]
	return metres(n)
}

// bytes are the next n; nil if there are not so many.
func (r *reader) bytes(n uint64) []byte {
	if uint64(len(r.rest)) < n {
		r.broken, r.rest = true, nil
		return nil
	}
	taken := r.rest[:n:n]
	r.rest = r.rest[n:]
	return taken
}
