package dialect

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"
)

// Go's FlatBuffers has no verifier: its accessors follow whatever offsets a message holds. So client frames are read
// by this reader instead, which checks each offset against the message before it follows it, as FlatBuffers' own
// verifier does in other languages. What a frame says beyond our schema is ignored.

// flat reads one FlatBuffers message and keeps the first thing that is wrong with it.
type flat struct {
	data []byte
	err  error
}

func (f *flat) fail(what string) {
	if f.err == nil {
		f.err = fmt.Errorf("%w: %s", ErrMalformed, what)
	}
}

func (f *flat) uint16(at int) uint16 { return binary.LittleEndian.Uint16(f.data[at:]) }
func (f *flat) uint32(at int) uint32 { return binary.LittleEndian.Uint32(f.data[at:]) }

// table is a table that lies within the message, with its vtable. The zero table has no fields.
type table struct{ at, size, vtable, vtableSize int }

// root is the table that the message begins with.
func (f *flat) root() table {
	if len(f.data) < 8 {
		f.fail("it is too short")
		return table{}
	}
	return f.table(int(f.uint32(0)))
}

func (f *flat) table(at int) table {
	if at < 4 || at > len(f.data)-4 {
		f.fail("a table lies outside")
		return table{}
	}
	t := table{at: at, vtable: at - int(int32(f.uint32(at)))}
	if t.vtable < 4 || t.vtable > len(f.data)-4 {
		f.fail("a vtable lies outside")
		return table{}
	}
	t.vtableSize, t.size = int(f.uint16(t.vtable)), int(f.uint16(t.vtable+2))
	if t.vtableSize < 4 || t.vtableSize%2 != 0 || t.vtable+t.vtableSize > len(f.data) || t.size < 4 || at+t.size > len(f.data) {
		f.fail("a table reaches outside")
		return table{}
	}
	return t
}

// field is where a field of a table lies, or 0 if the table does not have it. Slots count from 0.
func (f *flat) field(t table, slot, size int) int {
	entry := 4 + 2*slot
	if entry+2 > t.vtableSize {
		return 0
	}
	offset := int(f.uint16(t.vtable + entry))
	if offset == 0 {
		return 0
	}
	if offset < 4 || offset+size > t.size {
		f.fail("a field lies outside its table")
		return 0
	}
	return t.at + offset
}

func (f *flat) byteAt(t table, slot int) byte {
	if at := f.field(t, slot, 1); at != 0 {
		return f.data[at]
	}
	return 0
}

func (f *flat) uint16At(t table, slot int) uint16 {
	if at := f.field(t, slot, 2); at != 0 {
		return f.uint16(at)
	}
	return 0
}

func (f *flat) uint32At(t table, slot int) uint32 {
	if at := f.field(t, slot, 4); at != 0 {
		return f.uint32(at)
	}
	return 0
}

func (f *flat) uint64At(t table, slot int) uint64 {
	if at := f.field(t, slot, 8); at != 0 {
		return binary.LittleEndian.Uint64(f.data[at:])
	}
	return 0
}

func (f *flat) float32(at int) float32 {
	v := math.Float32frombits(f.uint32(at))
	if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
		f.fail("a number is not finite")
	}
	return v
}

// tableAt follows a field to another table; the zero table if there is none.
func (f *flat) tableAt(t table, slot int) (table, bool) {
	at := f.field(t, slot, 4)
	if at == 0 {
		return table{}, false
	}
	return f.table(at + int(f.uint32(at))), true
}

// vector is the bytes of a field that is a string or a vector of bytes. They are the message's own.
func (f *flat) vector(t table, slot int) []byte {
	field := f.field(t, slot, 4)
	if field == 0 {
		return nil
	}
	at := field + int(f.uint32(field))
	if at > len(f.data)-4 {
		f.fail("a vector lies outside")
		return nil
	}
	length := int(f.uint32(at))
	if length > len(f.data)-4-at {
		f.fail("a vector reaches outside")
		return nil
	}
	return f.data[at+4 : at+4+length]
}

// text is a string; empty if the table does not have it.
func (f *flat) text(t table, slot int) string {
	b := f.vector(t, slot)
	if !utf8.Valid(b) {
		f.fail("a text is not UTF-8")
	}
	return string(b)
}
