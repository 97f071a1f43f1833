package room

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

// witness checks, with every output, what must hold of all rooms: each member sees every event of its time once, in
// order; nobody who is not in receives anything; the tick tells of members only.
type witness struct {
	t    *testing.T
	seed uint64
	in   map[Link]uint64 // the newest seq that each member has
}

func (w *witness) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d: %s", w.seed, fmt.Sprintf(format, args...))
}

func (w *witness) Joined(to Link, _ uint32, s frames.Snapshot) {
	if _, in := w.in[to]; in {
		w.fail("%v joined twice", to)
	}
	w.in[to] = s.Seq
	if len(s.Members) != len(w.in) {
		w.fail("a snapshot of %d members, but %d are in", len(s.Members), len(w.in))
	}
}

func (w *witness) Refused(to Link, _ uint32, _ commonv1.ErrorReason, _ string) { w.mustBeOut(to) }

func (w *witness) Removed(to Link, _ uint32, _ commonv1.ErrorReason) {
	w.mustBeIn(to)
	delete(w.in, to)
}

func (w *witness) Event(e frames.Event, except Link) {
	for link, seq := range w.in {
		if link == except {
			continue
		}
		if e.Seq != seq+1 {
			w.fail("%v got %d after %d", link, e.Seq, seq)
		}
		w.in[link] = e.Seq
	}
}

func (w *witness) Whisper(e frames.Event, from, to Link) {
	w.mustBeIn(from)
	w.mustBeIn(to)
	if e.Seq != w.in[to] {
		w.fail("a whisper with %d, but the newest event is %d", e.Seq, w.in[to])
	}
}

func (w *witness) Done(to Link, _ uint32)                            { w.mustBeIn(to) }
func (w *witness) Failed(Link, uint32, commonv1.ErrorReason, string) {}
func (w *witness) Corrected(to Link, _ frames.EntityState)           { w.mustBeIn(to) }
func (w *witness) State(_ uint64, s []frames.EntityState, _ []frames.EntityValues) {
	if len(s) == 0 || len(s) > len(w.in) {
		w.fail("a tick of %d states with %d members", len(s), len(w.in))
	}
	seen := map[uint32]bool{}
	for _, state := range s {
		if seen[state.Entity] {
			w.fail("entity %d twice in a tick", state.Entity)
		}
		seen[state.Entity] = true
	}
}

func (w *witness) mustBeIn(link Link) {
	w.t.Helper()
	if _, in := w.in[link]; !in {
		w.fail("%v is not in, but receives something", link)
	}
}

func (w *witness) mustBeOut(link Link) {
	w.t.Helper()
	if _, in := w.in[link]; in {
		w.fail("%v is in, but was refused", link)
	}
}

func TestWhateverHappensEveryMemberSeesEveryEventOnceInOrder(t *testing.T) {
	for seed := range uint64(300) {
		play(t, seed)
	}
}

func play(t *testing.T, seed uint64) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 0))
	w := &witness{t: t, seed: seed, in: map[Link]uint64{}}
	cfg := Config{Capacity: 5, Width: 40, Depth: 40, TickHz: 20, MaxSpeed: 8, Spawn: frames.Vec3{X: 20, Z: 20}}
	r := New("room_test", 1, cfg, w)
	now := time.UnixMilli(0)
	for range 300 {
		now = now.Add(time.Duration(random.IntN(200)) * time.Millisecond)
		link := Link{Stream: random.Uint64N(3), ID: 1 + random.Uint32N(4)}
		user := fmt.Sprintf("usr_%d", random.IntN(8))
		switch random.IntN(10) {
		case 0, 1, 2:
			r.Join(now, link, 1, Join{User: frames.User{ID: user}})
		case 3:
			r.Leave(now, link, 1)
		case 4:
			r.Chat(now, link, 1, "text", fmt.Sprint(random.IntN(5)))
		case 5:
			r.Whisper(now, link, 1, user, "text", "")
		case 6:
			for l := range w.in {
				if l.Stream == link.Stream {
					delete(w.in, l) // its gateway is gone: nobody tells its members
				}
			}
			r.StreamEnded(now, link.Stream)
		case 7:
			r.Tick()
		default:
			r.Move(now, link, 1, Move{Position: frames.Vec3{X: random.Float32() * 50, Z: random.Float32() * 50}})
		}
		if r.Len() != len(w.in) {
			w.fail("%d members, but %d are in", r.Len(), len(w.in))
		}
	}
}

// quiet takes what comes out and does nothing.
type quiet struct{ witness }

func (*quiet) Joined(Link, uint32, frames.Snapshot)                      {}
func (*quiet) Event(frames.Event, Link)                                  {}
func (*quiet) State(uint64, []frames.EntityState, []frames.EntityValues) {}
func (*quiet) Removed(Link, uint32, commonv1.ErrorReason)                {}
func (*quiet) Corrected(Link, frames.EntityState)                        {}

// BenchmarkTick is a room of 50 in which everybody moves in every tick: 2,500 deliveries an iteration.
func BenchmarkTick(b *testing.B) {
	cfg := Config{Capacity: 50, Width: 40, Depth: 40, TickHz: 20, MaxSpeed: 8, Spawn: frames.Vec3{X: 20, Z: 20}}
	r := New("room_bench", 1, cfg, &quiet{})
	now := time.UnixMilli(0)
	for i := range uint32(50) {
		r.Join(now, Link{Stream: 1, ID: i + 1}, 1, Join{User: frames.User{ID: fmt.Sprint(i)}})
	}
	values := make([]byte, 44)
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(50 * time.Millisecond)
		for i := range uint32(50) {
			r.Move(now, Link{Stream: 1, ID: i + 1}, 0, Move{Position: frames.Vec3{X: 20, Z: 20}, Values: values})
		}
		r.Tick()
	}
	b.ReportMetric(float64(b.N)*2500/b.Elapsed().Seconds(), "deliveries/s")
}
