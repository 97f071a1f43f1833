package statebatch

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

func example() Batch {
	return Batch{
		Tick: 300, Anew: true, Gone: []uint32{8, math.MaxUint32},
		States: []State{
			{Entity: 7, Position: Vec3{X: 1.5, Z: 20.25}, Yaw: 16384},
			{Entity: 16, Position: Vec3{X: -1.5, Y: 2.5, Z: 81.92}, Yaw: 1, Animation: 3},
		},
		Values: []Values{{16, []byte{0, 1, 255}}},
	}
}

// TestTheLayout holds what docs/wire.md says, byte by byte.
func TestTheLayout(t *testing.T) {
	want := "0d" + // packed, anew, gone
		"ac02" + // tick 300
		"02" + "08" + "ffffffff0f" + // two are gone
		"38" + "ac02" + "d21f" + "0040" + // 7: x 150 cm, z 2025 cm, yaw
		"8701" + "ab02" + "8080" + "01" + "0100" + "f403" + "03" + "03" + "0001ff" // 16, with y, animation and three bytes of values
	b := example()
	if got := hex.EncodeToString(Append(nil, &b)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	read := Batch{}
	for range 2000 {
		b := Batch{Tick: random.Uint64() >> random.IntN(64), Anew: random.IntN(2) == 0}
		for range random.IntN(4) {
			b.Gone = append(b.Gone, random.Uint32()>>random.IntN(32))
		}
		for range random.IntN(5) {
			s := State{
				Entity: random.Uint32() >> random.IntN(32), Yaw: uint16(random.Uint32()), Animation: uint16(random.Uint32() >> random.IntN(32)),
				Position: Vec3{random.Float32() * 1e4, random.Float32()*200 - 100, random.Float32() * 100}.Rounded(),
			}
			if random.IntN(2) == 0 {
				s.Position.Y = 0
			}
			b.States = append(b.States, s)
			if random.IntN(2) == 0 {
				b.Values = append(b.Values, Values{s.Entity, bytes.Repeat([]byte{1}, 1+random.IntN(256))})
			}
		}
		frame := Append(nil, &b)
		if err := read.Read(frame); err != nil || !Is(frame) {
			t.Fatal(b, err)
		}
		if read.Tick != b.Tick || read.Anew != b.Anew || !same(read.Gone, b.Gone) || !same(read.States, b.States) || !same(read.Values, b.Values) {
			t.Fatalf("\n%+v was read as\n%+v", b, read)
		}
	}
}

func same[T any](a, b []T) bool { return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b) }

// TestPlacesAreTheSameInEveryFrame however often they are rounded, in every room that there can be.
func TestPlacesAreTheSameInEveryFrame(t *testing.T) {
	for cm := range int64(1_000_001) {
		v := metres(cm)
		if again := (Vec3{X: v}).Rounded().X; again != v || centimetres(v) != cm {
			t.Fatalf("%d cm is %v m, and then %v m and %d cm", cm, v, again, centimetres(v))
		}
	}
}

func TestWhatIsNoPlaceIsWrittenAllTheSame(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	b := Batch{States: []State{{Position: Vec3{nan, inf, -inf}}}}
	var read Batch
	if err := read.Read(Append(nil, &b)); err != nil || read.States[0].Position != (Vec3{0, metres(math.MaxInt32), metres(math.MinInt32)}) {
		t.Errorf("%+v, %v", read, err)
	}
}

func TestABatchThatIsCutShortIsRefused(t *testing.T) {
	b := example()
	whole := Append(nil, &b)
	var read Batch
	ends := map[int]bool{}
	for n := range len(whole) {
		if err := read.Read(whole[:n]); err == nil {
			ends[n] = true // between two states: there might be no more
		} else if !errors.Is(err, ErrBroken) {
			t.Error(err)
		}
	}
	if len(ends) != 2 {
		t.Errorf("it may end after %v of %d bytes", ends, len(whole))
	}
}

// TestWhatCanNotBeReadIsTold: the client in Python is tested with the same.
func TestWhatCanNotBeReadIsTold(t *testing.T) {
	var read Batch
	for text, want := range map[string]error{
		"": ErrBroken, "18000000": ErrBroken, // no batch
		"1101": ErrNewer, "02": ErrNewer, "0f01": ErrNewer,
		"01":                       ErrBroken, // no tick
		"01ffffffffffffffffff7f":   ErrBroken, // a tick of more than 64 bits
		"018080808080808080808000": ErrBroken, // a number of eleven bytes
		"0901ff":                   ErrBroken, // who is gone is cut short
		"01010800":                 ErrBroken, // a state is cut short
		"010108000000008080808080": ErrBroken, // a number without an end
		"01010a00000000808004":     ErrBroken, // an animation of more than 16 bits
		"01010c000000000500":       ErrBroken, // values are cut short
	} {
		frame, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := read.Read(frame); !errors.Is(err, want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	b := example()
	f.Add(Append(nil, &b))
	f.Fuzz(func(t *testing.T, frame []byte) {
		var read, again Batch
		if read.Read(frame) != nil {
			return
		}
		if err := again.Read(Append(nil, &read)); err != nil || read.Tick != again.Tick || read.Anew != again.Anew ||
			!same(read.States, again.States) || !same(read.Gone, again.Gone) {
			t.Errorf("%x: %+v and %+v, %v", frame, read, again, err)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	batch := Batch{Tick: 1 << 20}
	for i := range uint32(50) {
		batch.States = append(batch.States, State{Entity: i, Position: Vec3{X: 20, Z: 20}})
	}
	var frame []byte
	b.ReportAllocs()
	for b.Loop() {
		frame = Append(frame[:0], &batch)
	}
	b.SetBytes(int64(len(frame)))
}
