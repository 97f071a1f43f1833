package room

import (
	"strings"
	"testing"
	"time"

	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

// What a connection says last may come after the same session has come in again by another.
func TestWhatALostConnectionSaysLateTakesNobodyOut(t *testing.T) {
	now := time.UnixMilli(0)
	for name, late := range map[string]func(r *Room, link Link){
		"detach": func(r *Room, link Link) { r.Detach(now, link, In{Number: 3}, "gws_ann") },
		"leave":  func(r *Room, link Link) { r.Leave(now, link, In{Number: 3}, "gws_ann") },
	} {
		t.Run(name, func(t *testing.T) {
			r := New("room_a", Config{Capacity: 5, Width: 40, Depth: 40, TickHz: 20, MaxSpeed: 8}, quiet{}, now,
				Past{Epoch: 1, Complete: true})
			join := Join{User: frames.User{ID: "usr_ann"}, Session: "gws_ann"}
			first, second := Link{Stream: 1, ID: 1}, Link{Stream: 1, ID: 2}
			r.Join(now, first, In{Number: 1}, join)
			r.Join(now, second, In{Number: 2}, join)
			late(r, first)
			r.Logged(len(r.TakeUnlogged()))
			if views := r.Members(); len(views) != 1 || views[0].Link != second {
				t.Errorf("in are %v", views)
			}
		})
	}
}

// returned takes note of what somebody is told who comes back.
type returned struct {
	quiet
	gap  bool
	told int
}

func (s *returned) Joined(_ Link, _ In, snapshot frames.Snapshot) { s.gap = snapshot.Gap }
func (s *returned) Told(*Entry, ...Link)                          { s.told++ }

func TestWhoHasMissedMoreThanASocketHoldsHasAGap(t *testing.T) {
	for texts, gap := range map[int]bool{100: false, 200: true} {
		now, sink := time.UnixMilli(0), &returned{}
		cfg := Config{Capacity: 5, Width: 40, Depth: 40, TickHz: 20, MaxSpeed: 8}
		r := New("room_a", cfg, sink, now, Past{Epoch: 1, Complete: true})
		ann := Join{User: frames.User{ID: "usr_ann"}, Session: "gws_1"}
		r.Join(now, Link{Stream: 1, ID: 1}, In{Number: 1}, ann)
		r.Join(now, Link{Stream: 1, ID: 2}, In{Number: 2}, Join{User: frames.User{ID: "usr_ben"}, Session: "gws_2"})
		r.Logged(len(r.TakeUnlogged()))
		ann.Resume = &frames.LogPosition{Epoch: 1, Seq: 2}
		for i := range texts {
			r.Chat(now, Link{Stream: 1, ID: 2}, In{Number: uint64(i + 3)}, strings.Repeat("x", 1000), "")
		}
		r.Logged(len(r.TakeUnlogged()))
		ann.Session = "gws_3"
		r.Join(now, Link{Stream: 1, ID: 3}, In{Number: 1}, ann)
		r.Logged(len(r.TakeUnlogged()))
		if sink.gap != gap || (sink.told >= texts) == gap {
			t.Errorf("after %d: gap %v, %d told", texts, sink.gap, sink.told)
		}
	}
}
