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
// order; nobody who is not in receives anything; nobody hears of what is not logged; the tick tells of members only.
type witness struct {
	t      *testing.T
	seed   uint64
	room   *Room
	logged frames.LogPosition
	in     map[Link]frames.LogPosition // the newest that each member has
}

func (w *witness) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d: %s", w.seed, fmt.Sprintf(format, args...))
}

func (w *witness) Joined(to Link, _ In, s frames.Snapshot) {
	if _, in := w.in[to]; in {
		w.fail("%v joined twice", to)
	}
	w.in[to] = s.LogPosition
	if s.Compare(w.logged) > 0 {
		w.fail("a snapshot at %v, but the log ends at %v", s.LogPosition, w.logged)
	}
	if len(s.Members) > w.room.cfg.Capacity+1 {
		w.fail("a snapshot of %d members", len(s.Members))
	}
}

func (w *witness) Refused(to Link, _ In, _ commonv1.ErrorReason, _ string) { w.mustBeOut(to) }

func (w *witness) Removed(to Link, _ In, _ commonv1.ErrorReason) { delete(w.in, to) }

func (w *witness) Event(e *Entry) {
	w.mustBeLogged(e)
	for link, seen := range w.in {
		if e.Seq != seen.Seq+1 {
			w.fail("%v got %d after %d", link, e.Seq, seen.Seq)
		}
		w.in[link] = e.LogPosition
	}
}

func (w *witness) Again(*Entry, uint64) {}

func (w *witness) Told(e *Entry, to ...Link) {
	for _, link := range to {
		w.told(e, link)
	}
}

func (w *witness) told(e *Entry, to Link) {
	w.mustBeLogged(e)
	w.mustBeIn(to)
	if seen := w.in[to]; e.Compare(seen) <= 0 || e.Seq > seen.Seq+1 {
		w.fail("%v was told %v after %v", to, e.LogPosition, seen)
	}
	w.in[to] = e.LogPosition
}

func (w *witness) Done(Link, In)                                  {}
func (w *witness) Failed(Link, In, commonv1.ErrorReason, string)  {}
func (w *witness) Corrected(Link, frames.EntityState)             {}
func (w *witness) Behind(uint64) bool                             { return false }
func (w *witness) Roster(uint64, []uint32, frames.Roster)         {}
func (w *witness) View(_ uint64, _ []uint32, b frames.StateBatch) { w.State(b) }
func (w *witness) State(b frames.StateBatch) {
	seen := map[uint32]bool{}
	for _, m := range w.room.shown {
		seen[m.Entity] = false
	}
	values := b.Values // they are written with the states, so they must be in the same order
	for _, state := range b.States {
		if len(values) > 0 && values[0].Entity == state.Entity {
			values = values[1:]
		}
		if twice, in := seen[state.Entity]; twice || !in {
			w.fail("entity %d in a tick: in %v, twice %v", state.Entity, in, twice)
		}
		seen[state.Entity] = true
	}
	if len(values) > 0 {
		w.fail("values of %d are out of order, or without a state", values[0].Entity)
	}
}

func (w *witness) mustBeLogged(e *Entry) {
	if e.Compare(w.logged) > 0 {
		w.fail("%v was told of, but the log ends at %v", e.LogPosition, w.logged)
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
	for seed := range uint64(500) {
		play(t, seed)
	}
}

// play runs a room through whatever may happen, with a log that takes its time.
func play(t *testing.T, seed uint64) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 0))
	w := &witness{t: t, seed: seed, in: map[Link]frames.LogPosition{}}
	cfg := Config{
		Capacity: 5, Width: 40, Depth: 40, TickHz: 20, MaxSpeed: 8, Spawn: frames.Vec3{X: 20, Z: 20}, Hold: time.Second,
		Grid: DefaultGrid(),
	}
	now := time.UnixMilli(0)
	r := New("room_test", cfg, w, now, Past{Epoch: 1, Complete: true})
	w.room = r
	var writing []*Entry
	var links []Link
	session := 0
	seen := map[string]frames.LogPosition{}
	for i := range 400 {
		now = now.Add(time.Duration(random.IntN(200)) * time.Millisecond)
		action := random.IntN(14)
		link := Link{Stream: 1 + random.Uint64N(3), ID: uint32(i + 1)} // a link is used once
		if action <= 3 {
			links = append(links, link)
		} else if len(links) > 0 {
			link = links[max(0, len(links)-1-random.IntN(6))]
		}
		user := fmt.Sprintf("usr_%d", random.IntN(8))
		in := In{RID: 1, Number: uint64(i + 1)}
		if m := r.byUser[user]; m != nil {
			if at, in := w.in[m.link]; in {
				seen[user] = at
			}
		}
		switch action {
		case 0, 1, 2:
			session++
			r.Join(now, link, in, Join{User: frames.User{ID: user}, Session: fmt.Sprint(session)})
		case 3:
			session++
			join := Join{User: frames.User{ID: user}, Session: fmt.Sprint(session)}
			if at, known := seen[user]; known {
				join.Resume = &at
			}
			r.Join(now, link, in, join)
		case 4:
			r.Leave(now, link, in, "")
		case 5, 6:
			r.Chat(now, link, in, "text", fmt.Sprint(random.IntN(5)))
		case 7:
			r.Whisper(now, link, in, user, "text", "")
		case 8:
			if random.IntN(3) > 0 {
				break
			}
			for l := range w.in {
				if l.Stream == link.Stream {
					delete(w.in, l) // its gateway is gone: nobody tells its members
				}
			}
			r.StreamEnded(now, link.Stream)
		case 9:
			r.Tick()
		case 10:
			r.Time(now)
		case 11, 12:
			writing = append(writing, r.TakeUnlogged()...)
			n := random.IntN(len(writing) + 1)
			for _, e := range writing[:n] {
				w.logged = e.LogPosition
				r.Logged(1)
			}
			writing = writing[n:]
		default:
			r.Move(now, link, in, Move{Position: frames.Vec3{X: random.Float32() * 50, Z: random.Float32() * 50}})
		}
		if r.Len() > cfg.Capacity {
			w.fail("%d members", r.Len())
		}
	}
	for _, e := range append(writing, r.TakeUnlogged()...) {
		w.logged = e.LogPosition
		r.Logged(1)
	}
	if r.Waiting() != 0 || len(r.held) != 0 || r.released != r.last || len(r.shown) != len(r.members) {
		w.fail("something waits though everything is logged")
	}
}

// quiet takes what comes out and does nothing.
type quiet struct{}

func (quiet) Joined(Link, In, frames.Snapshot)               {}
func (quiet) Refused(Link, In, commonv1.ErrorReason, string) {}
func (quiet) Removed(Link, In, commonv1.ErrorReason)         {}
func (quiet) Event(*Entry)                                   {}
func (quiet) Again(*Entry, uint64)                           {}
func (quiet) Told(*Entry, ...Link)                           {}
func (quiet) Done(Link, In)                                  {}
func (quiet) Failed(Link, In, commonv1.ErrorReason, string)  {}
func (quiet) Corrected(Link, frames.EntityState)             {}
func (quiet) State(frames.StateBatch)                        {}
func (quiet) View(uint64, []uint32, frames.StateBatch)       {}
func (quiet) Roster(uint64, []uint32, frames.Roster)         {}
func (quiet) Behind(uint64) bool                             { return false }

// BenchmarkTick is a room of 50 in which everybody moves in every tick: 2,500 deliveries an iteration.
func BenchmarkTick(b *testing.B) {
	cfg := Config{Capacity: 50, Width: 40, Depth: 40, TickHz: 20, MaxSpeed: 8, Spawn: frames.Vec3{X: 20, Z: 20}, Grid: DefaultGrid()}
	now := time.UnixMilli(0)
	r := New("room_bench", cfg, quiet{}, now, Past{Epoch: 1, Complete: true})
	for i := range uint32(50) {
		id := fmt.Sprint(i)
		r.Join(now, Link{Stream: 1, ID: i + 1}, In{RID: 1}, Join{User: frames.User{ID: id}, Session: id})
	}
	r.Logged(len(r.TakeUnlogged()))
	values := make([]byte, 44)
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(50 * time.Millisecond)
		for i := range uint32(50) {
			r.Move(now, Link{Stream: 1, ID: i + 1}, In{}, Move{Position: frames.Vec3{X: 20, Z: 20}, Values: values})
		}
		r.Tick()
	}
	b.ReportMetric(float64(b.N)*2500/b.Elapsed().Seconds(), "deliveries/s")
}
