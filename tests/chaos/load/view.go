package main

import (
	"math"

	"github.com/worldmesh/worldmesh/clients/go/statebatch"
	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
)

const (
	// full is how many members a room has at least in which one sees only those around.
	full = 96
	// sightRadius is how far one sees there at least, in metres.
	sightRadius = 14
)

// view is what a client knows of its room: who is in, who of them is in sight, and where. The rules are those of
// docs/wire.md.
type view struct {
	entity  uint32 // its own
	members map[uint32]string
	sight   map[uint32]statebatch.Vec3
}

func (v *view) self() statebatch.Vec3 { return v.sight[v.entity] }

// snapshot begins anew: it tells of all who are in by now, or of a full room of oneself. Then those who were known still
// are, if nothing was missed.
func (v *view) snapshot(s *clientv1.Snapshot) {
	if s.ViewRadius() == 0 || !s.Resumed() || s.Gap() || s.SelfEntity() != v.entity {
		v.members = make(map[uint32]string, s.MembersLength())
	}
	v.entity, v.sight = s.SelfEntity(), make(map[uint32]statebatch.Vec3, s.MembersLength())
	var m clientv1.Member
	for i := range s.MembersLength() {
		s.Members(&m, i)
		v.joined(&m, true)
	}
}

// roster tells of more who are in, and not where.
func (v *view) roster(r *clientv1.Roster) {
	var m clientv1.Member
	for i := range r.MembersLength() {
		r.Members(&m, i)
		v.joined(&m, false)
	}
}

// joined takes in a member, and where it is, unless that is known better.
func (v *view) joined(m *clientv1.Member, inSight bool) {
	state := m.State(nil)
	v.members[state.Entity()] = string(m.User(nil).UserId())
	if _, seen := v.sight[state.Entity()]; inSight && !seen {
		v.sight[state.Entity()] = place(state.Position(nil))
	}
}

func (v *view) left(entity uint32) {
	delete(v.members, entity)
	delete(v.sight, entity)
}

func (v *view) states(batch *statebatch.Batch) {
	own := v.self()
	if batch.Anew {
		clear(v.sight)
	}
	for _, entity := range batch.Gone {
		delete(v.sight, entity)
	}
	for _, s := range batch.States {
		v.sight[s.Entity] = s.Position
	}
	v.sight[v.entity] = own // it knows better
}

func (v *view) correct(c *clientv1.Correction) { v.walked(place(c.State(nil).Position(nil))) }

// walked is where it has gone to by itself.
func (v *view) walked(to statebatch.Vec3) { v.sight[v.entity] = to }

// wrong compares with who is in and where they are, and with how many may be in besides.
func (v *view) wrong(truth map[uint32]statebatch.Vec3, besides int) (members, places int) {
	known := 0
	for entity, at := range truth {
		if _, knows := v.members[entity]; knows {
			known++
		} else {
			members++
		}
		switch seen, sees := v.sight[entity]; {
		case sees && seen != at:
			places++
		case !sees && (len(truth)+besides < full || distance(at, v.self()) <= sightRadius):
			places++
		}
	}
	return members + max(len(v.members)-known-besides, 0), places
}

func distance(a, b statebatch.Vec3) float64 { return math.Hypot(float64(a.X-b.X), float64(a.Z-b.Z)) }

func place(p *clientv1.Vec3) statebatch.Vec3 { return statebatch.Vec3{X: p.X(), Y: p.Y(), Z: p.Z()} }
