package room

import (
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
