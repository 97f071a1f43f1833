package relay

import (
	"fmt"
	"testing"
	"time"

	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/relay/room"
)

// viewOf is a frame's state batch; nil if it is none.
func viewOf(d *roomv1.Delivery) *frames.StateBatch {
	batch := &frames.StateBatch{}
	if batch.Read(d.GetFrame()) != nil {
		return nil
	}
	return batch
}

func lookFor(link uint32, view, roster bool, after uint32) *roomv1.Input {
	return &roomv1.Input{Link: link, Body: &roomv1.Input_Look_{Look: &roomv1.Input_Look{
		View: view, Roster: roster, AfterEntity: after,
	}}}
}

// In a room of 200 everybody is within sight: whoever enters last gets a short snapshot, and the rest in small parts.
func TestWhoEntersAFullRoomGetsItInParts(t *testing.T) {
	r := startRelay(t, 1<<20)
	first, last := r.attach(t, "gateway-0", "room_full"), r.attach(t, "gateway-1", "room_full")
	for i := range uint32(199) {
		first.join(i+1, fmt.Sprintf("usr_%d", i+1))
		first.next(clientv1.ServerBodySnapshot)
	}
	last.join(1, "usr_last")
	d, _ := last.next(clientv1.ServerBodySnapshot)
	if n := len(d.GetFrame()); n > 400 {
		t.Errorf("a snapshot of %d bytes", n)
	}
	known := map[uint32]bool{}
	for done := false; !done; {
		d, table := last.next(clientv1.ServerBodyRoster)
		if n := len(d.GetFrame()); n > 16<<10 {
			t.Errorf("a part of the roster of %d bytes", n)
		}
		var roster clientv1.Roster
		var m clientv1.Member
		roster.Init(table.Bytes, table.Pos)
		for i := range roster.MembersLength() {
			roster.Members(&m, i)
			known[m.State(nil).Entity()] = true
		}
		if done = roster.Last(); !done {
			last.inputs(lookFor(1, false, true, m.State(nil).Entity()))
		}
	}
	if len(known) != 200 {
		t.Errorf("the roster has %d members", len(known))
	}
	last.inputs(lookFor(1, true, false, 0))
	seen := map[uint32]bool{}
	for anew := false; !anew || len(seen) < 200; {
		d, _ := last.next(clientv1.ServerBodyStateBatch)
		view := viewOf(d)
		if n := len(d.GetFrame()); n > 3000 {
			t.Errorf("a view of %d bytes", n)
		}
		if view.Anew {
			anew = true
			clear(seen)
		}
		for _, s := range view.States {
			seen[s.Entity] = true
		}
	}
}

func (s *stream) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue)
}

// stepAll has all of a stream's members take a step.
func (c *crowdedRoom) stepAll(stream int, metres float32) {
	for i := range c.members[stream].GetX() {
		c.members[stream].X[i] += metres
	}
	_ = c.server.play(c.live, c.streams[stream], &roomv1.AttachRequest_Inputs{Steps: c.members[stream]})
}

func TestAGatewayThatTakesNothingIsShownNothingMoreAndThenTheNewest(t *testing.T) {
	c := newCrowdedRoom(t, 10, 400, "")
	slow := c.streams[0]
	c.stepAll(0, 0.01)
	c.tick()
	waiting := slow.waiting()
	if waiting == 0 {
		t.Fatal("it is shown nothing at all")
	}
	for range 200 {
		c.stepAll(1, 0.01)
		c.tick()
		for i, st := range c.streams[1:] {
			c.taken[i+1], _ = st.take(t.Context(), c.taken[i+1])
		}
	}
	if n := slow.waiting(); n != waiting {
		t.Errorf("%d views wait, not %d", n, waiting)
	}
	c.taken[0], _ = slow.take(t.Context(), nil)
	newest := map[uint32]float32{}
	until(t, "it has seen all that has moved since", func() bool {
		c.tick()
		c.take()
		for _, d := range c.taken[0] {
			for _, s := range viewOf(d).States {
				newest[s.Entity] = s.Position.X
			}
		}
		return !c.dirty()
	})
	c.live.do(func(_ time.Time, core *room.Room) {
		for _, m := range core.Members() {
			if x, told := newest[m.State.Entity]; m.Link.Stream == 2 && (!told || x != m.State.Position.X) {
				t.Fatalf("%d is at %v, and was told to be at %v (%t)", m.State.Entity, m.State.Position.X, x, told)
			}
		}
	})
}
