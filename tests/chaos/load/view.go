package main

import (
	"math"

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
	sight   map[uint32][3]float32
}

func (v *view) self() [3]float32 { return v.sight[v.entity] }

// snapshot begins anew: it tells of all who are in by now, or of a full room of oneself. Then those who were known still
// are, if nothing was missed.
func (v *view) snapshot(s *clientv1.Snapshot) {
	if s.ViewRadius() == 0 || !s.Resumed() || s.Gap() || s.SelfEntity() != v.entity {
		v.members = make(map[uint32]string, s.MembersLength())
	}
	v.entity, v.sight = s.SelfEntity(), make(map[uint32][3]float32, s.MembersLength())
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

func (v *view) states(batch *clientv1.StateBatch) {
	own := v.self()
	if batch.Anew() {
		clear(v.sight)
	}
	for i := range batch.GoneLength() {
		delete(v.sight, batch.Gone(i))
	}
	var s clientv1.EntityState
	var at clientv1.Vec3
	for i := range batch.StatesLength() {
		batch.States(&s, i)
		v.sight[s.Entity()] = place(s.Position(&at))
	}
	v.sight[v.entity] = own // it knows better
}

func (v *view) correct(c *clientv1.Correction) { v.walked(place(c.State(nil).Position(nil))) }

// walked is where it has gone to by itself.
func (v *view) walked(to [3]float32) { v.sight[v.entity] = to }

// wrong compares with who is in and where they are, and with how many may be in besides.
func (v *view) wrong(truth map[uint32][3]float32, besides int) (members, places int) {
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

func distance(a, b [3]float32) float64 { return math.Hypot(float64(a[0]-b[0]), float64(a[2]-b[2])) }

func place(p *clientv1.Vec3) [3]float32 { return [3]float32{p.X(), p.Y(), p.Z()} }
