package room

import (
	"math"
	"testing"
	"time"

	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

// corrections counts how often members are put back.
type corrections struct {
	quiet
	n int
}

func (c *corrections) Corrected(Link, frames.EntityState) { c.n++ }

// walkIn makes a room in which one member is, at its spawn.
func walkIn(cfg Config, sink Sink, now time.Time, link Link) *Room {
	cfg.Capacity, cfg.TickHz, cfg.Grid = 5, 20, DefaultGrid()
	r := New("room_test", cfg, sink, now, Past{Epoch: 1, Complete: true})
	r.Join(now, link, In{RID: 1}, Join{User: frames.User{ID: "usr_a"}, Session: "gws_a"})
	r.Logged(len(r.TakeUnlogged()))
	return r
}

// TestWhoStandsAtTheWallIsInside also to centimetres, and at the next relay: of rooms of every length.
func TestWhoStandsAtTheWallIsInside(t *testing.T) {
	now, link := time.UnixMilli(0), Link{Stream: 1, ID: 1}
	for i := range 20_000 {
		side := 1 + float32(i)*0.0013
		sink := &corrections{}
		r := walkIn(Config{Width: side, Depth: side, MaxSpeed: 1e6}, sink, now, link)
		if r.cfg.Width > side || side-r.cfg.Width > 0.011 {
			t.Fatalf("a width of %v is one of %v", side, r.cfg.Width)
		}
		r.Move(now, link, In{}, Move{Position: frames.Vec3{X: r.cfg.Width, Z: r.cfg.Depth}})
		at := r.Members()[0].State.Position
		if sink.n != 0 || !r.contains(at) || at != at.Rounded() || at != (frames.Vec3{X: r.cfg.Width, Z: r.cfg.Depth}) {
			t.Fatalf("in a room of %v one is at %v, %d corrections", side, at, sink.n)
		}
		next := New("room_test", r.cfg, quiet{}, now, r.Past())
		next.Attached(2, nil, []Rejoin{{
			Link: 1, Join: Join{User: frames.User{ID: "usr_a"}, Session: "gws_a"}, State: &frames.EntityState{Position: at},
		}})
		if got := next.Members()[0].State.Position; got != at {
			t.Fatalf("in a room of %v it was at %v, and is at %v at the next relay", side, at, got)
		}
	}
}

// TestWhoWalksSlowlyInSmallStepsIsNotPutBack though each step is rounded.
func TestWhoWalksSlowlyInSmallStepsIsNotPutBack(t *testing.T) {
	now, link, sink := time.UnixMilli(0), Link{Stream: 1, ID: 1}, &corrections{}
	const speed, hz = 0.6, 60
	r := walkIn(Config{Width: 100, Depth: 10, MaxSpeed: speed}, sink, now, link)
	for i := range 30 * hz {
		now = now.Add(time.Second / hz)
		r.Move(now, link, In{}, Move{Position: frames.Vec3{X: 0.004 + float32(i+1)*speed/hz}})
	}
	if sink.n != 0 {
		t.Errorf("put back %d times", sink.n)
	}
}

// TestWhatIsNoPlaceIsNotTaken for rounding would make one of it.
func TestWhatIsNoPlaceIsNotTaken(t *testing.T) {
	now, link, sink := time.UnixMilli(0), Link{Stream: 1, ID: 1}, &corrections{}
	r := walkIn(Config{Width: 10, Depth: 10, MaxSpeed: 8, Spawn: frames.Vec3{X: 5.001, Z: 5}}, sink, now, link)
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, at := range []frames.Vec3{{X: nan, Z: 5}, {X: 5, Y: nan, Z: 5}, {X: inf, Z: 5}, {X: 5, Y: -inf, Z: 5}, {X: -0.001, Z: 5}} {
		r.Move(now, link, In{}, Move{Position: at})
	}
	if at := r.Members()[0].State.Position; sink.n != 5 || at != (frames.Vec3{X: 5, Z: 5}) {
		t.Errorf("%d corrections, and it is at %v", sink.n, at)
	}
}

func TestWhoAppearsAtAWallIsInside(t *testing.T) {
	now, link := time.UnixMilli(0), Link{Stream: 1, ID: 1}
	for _, side := range []float32{9.996, 10, 10.004, 0.015} {
		sink := &corrections{}
		r := walkIn(Config{Width: side, Depth: side, MaxSpeed: 8, Spawn: frames.Vec3{X: side, Z: side}}, sink, now, link)
		at := r.Members()[0].State.Position
		if r.Move(now, link, In{}, Move{Position: at}); sink.n != 0 || at.X > side || at.Z > side {
			t.Errorf("in %v m: at %v, put back %d times", side, at, sink.n)
		}
	}
}
