package roomsim

import (
	"math"
	"slices"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/worldmesh/worldmesh/clients/go/statebatch"
	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/relay/room"
)

// Reach is how far a Step goes.
type Reach int

const (
	// Near steps go so little further than those before that they are let through however often they are repeated, and
	// though no time passes.
	Near Reach = iota
	// Far steps go so far that they never are.
	Far
	// Dash steps go so far that one is let through at once, and another is not.
	Dash
)

const (
	pace     = 0.02 // of a Near step, in metres
	dashFar  = 5
	neverFar = 30
)

// spot is where a step goes: no two of a client go to the same, and the later go further.
func (a Act) spot() frames.Vec3 {
	p := frames.Vec3{X: float32(a.N) * pace}
	switch a.Reach {
	case Far:
		p.X += neverFar
	case Dash:
		p.Z = dashFar
	}
	return p.Rounded()
}

// numberAt is the number of the step that goes to a place; 0 where everybody begins.
func numberAt(p frames.Vec3) int {
	x := float64(p.X)
	if x >= neverFar {
		x -= neverFar
	}
	return int(math.Round(x / pace))
}

// walks says whether anybody makes steps. Nothing ticks where nobody does: what it would tell has been told already.
func (s Setup) walks() bool {
	for _, acts := range s.Acts {
		for _, a := range acts {
			if a.Kind == Step {
				return true
			}
		}
	}
	return false
}

// step goes somewhere.
func (d *device) step(act Act) {
	d.newest, d.putBack = act, false
	d.client.dashed = d.client.dashed || act.Reach == Dash
	if !act.Asked {
		d.gateway.step(d, dialect.Move{Position: act.spot()})
		return
	}
	rid, number := d.client.number()
	d.asked = append(d.asked, ask{rid: rid, act: act})
	d.gateway.askedStep(d, dialect.Move{Position: act.spot()}, rid, number)
}

// sees takes what a frame says of where members are.
func (d *device) sees(frame []byte, kind clientv1.ServerBody) {
	switch {
	case statebatch.Is(frame):
		var batch frames.StateBatch
		if err := batch.Read(frame); err != nil {
			d.client.world.fail("client %d can not read a batch: %v", d.client.index, err)
		}
		for _, s := range batch.States {
			d.view[s.Entity] = s.Position
		}
	case kind == clientv1.ServerBodySnapshot:
		d.entity, d.view = placesIn(frame)
		if !d.in {
			d.base, d.furthest = d.view[d.entity], 0
		}
	case kind == clientv1.ServerBodyCorrection:
		var c clientv1.Correction
		var body flatbuffers.Table
		clientv1.GetRootAsServerFrame(frame, 0).Body(&body)
		c.Init(body.Bytes, body.Pos)
		state := frames.StateOf(c.State(nil))
		d.view[state.Entity], d.putBack = state.Position, true
	case kind == clientv1.ServerBodyRoomEvent:
		d.seesEvent(frame)
	}
	if d.in || kind == clientv1.ServerBodySnapshot {
		d.furthest = max(d.furthest, numberAt(d.view[d.entity]))
	}
}

// placesIn is where a snapshot says that everybody is, and who receives it.
func placesIn(frame []byte) (self uint32, places map[uint32]frames.Vec3) {
	var s clientv1.Snapshot
	var m clientv1.Member
	var body flatbuffers.Table
	clientv1.GetRootAsServerFrame(frame, 0).Body(&body)
	s.Init(body.Bytes, body.Pos)
	places = map[uint32]frames.Vec3{}
	for i := range s.MembersLength() {
		s.Members(&m, i)
		state := frames.StateOf(m.State(nil))
		places[state.Entity] = state.Position
	}
	return s.SelfEntity(), places
}

// seesEvent takes who comes and goes. Where somebody is of whom that is known is newer than where he came in.
func (d *device) seesEvent(frame []byte) {
	var e clientv1.RoomEvent
	var body flatbuffers.Table
	clientv1.GetRootAsServerFrame(frame, 0).Body(&body)
	e.Init(body.Bytes, body.Pos)
	if !e.Body(&body) {
		return
	}
	switch e.BodyType() {
	case clientv1.EventBodyMemberJoined:
		var joined clientv1.MemberJoined
		joined.Init(body.Bytes, body.Pos)
		state := frames.StateOf(joined.Member(nil).State(nil))
		if _, known := d.view[state.Entity]; !known {
			d.view[state.Entity] = state.Position
		}
	case clientv1.EventBodyMemberLeft:
		var left clientv1.MemberLeft
		left.Init(body.Bytes, body.Pos)
		delete(d.view, left.Entity())
	}
}

// checkPlaces looks whether a device that is in is where it went last, and knows where everybody is.
func (d *device) checkPlaces() {
	c := d.client
	s := d.gateway.stream
	if s == nil || s.relay.core == nil {
		c.world.fail("client %d is in by a gateway that has no relay", c.index)
		return
	}
	found := false
	for _, state := range s.relay.core.States().States {
		if seen, known := d.view[state.Entity]; seen != state.Position || !known {
			c.world.fail("client %d sees entity %d at %v (%t), and it is at %v", c.index, state.Entity, seen, known, state.Position)
		}
		if state.Entity == d.entity {
			found = true
			d.checkPlace(state.Position)
		}
	}
	if !found {
		c.world.fail("client %d is entity %d, and the room does not know where that is", c.index, d.entity)
	}
}

// checkPlace looks at where it is. What it went last may have been put back: then it was told so.
func (d *device) checkPlace(at frames.Vec3) {
	c, newest := d.client, d.newest
	toldOther := d.putBack && at == d.view[d.entity]
	if numberAt(at) < d.furthest {
		c.world.fail("client %d is at %v, and was told that its step %d was let through", c.index, at, d.furthest)
	}
	switch {
	case newest.Kind != Step:
		if at != d.base && !c.dashed {
			c.world.fail("client %d came back at %v, made no step, and is at %v", c.index, d.base, at)
		}
	case newest.Reach == Far:
		if !toldOther || at == newest.spot() {
			c.world.fail("client %d went too far, to %v, is at %v, and was told otherwise: %t", c.index, newest.spot(), at, d.putBack)
		}
	case at != newest.spot() && !(c.dashed && toldOther):
		c.world.fail("client %d went to %v, and is at %v", c.index, newest.spot(), at)
	}
}

// outdated says whether a link is a device's in whose place its person has entered by another: it may not have heard of that,
// and nor may a relay that takes the room.
func (g *gateway) outdated(link uint32) bool {
	d := g.devices[link]
	return d != nil && d != d.client.device
}

// strays says whether a user's join that it has given up may take the place of a later one, and its steps come with it.
func (w *World) strays(user string) bool {
	return slices.ContainsFunc(w.clients, func(c *client) bool { return c.user() == user && c.stray })
}

// stepped looks at a step before a relay's room takes it: none may come after a newer one, and nobody is to walk its way
// again because a stream was lost.
func (r *relay) stepped(s *stream, id uint32, to frames.Vec3) {
	link, next := room.Link{Stream: s.id, ID: id}, numberAt(to)
	for _, m := range r.core.Members() {
		switch now := numberAt(m.State.Position); {
		case m.Link != link:
		case next < now && !s.gateway.outdated(id) && !r.world.strays(m.User.ID):
			r.world.fail("%s is where its step %d went, and the relay plays its step %d", m.User.ID, now, next)
		case next < s.newest[id]:
			r.world.fail("%s had made its step %d when the stream was opened, and repeats %d", m.User.ID, s.newest[id], next)
		}
	}
}
