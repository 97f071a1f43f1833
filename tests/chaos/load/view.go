package main

import clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"

// view is what a client knows of its room: who is in, and where.
type view struct {
	entity  uint32 // its own
	members map[uint32]sight
}

// sight is a member as it was last seen.
type sight struct {
	user string
	at   [3]float32
}

func (v *view) self() [3]float32 { return v.members[v.entity].at }

// snapshot begins anew: it tells of all who are in by now.
func (v *view) snapshot(s *clientv1.Snapshot) {
	v.entity, v.members = s.SelfEntity(), make(map[uint32]sight, s.MembersLength())
	var m clientv1.Member
	for i := range s.MembersLength() {
		s.Members(&m, i)
		v.joined(&m)
	}
}

// joined takes in a member, unless a snapshot has told of it already, and where it is by now.
func (v *view) joined(m *clientv1.Member) {
	state := m.State(nil)
	if _, known := v.members[state.Entity()]; known {
		return
	}
	v.members[state.Entity()] = sight{string(m.User(nil).UserId()), place(state.Position(nil))}
}

func (v *view) left(entity uint32) { delete(v.members, entity) }

func (v *view) states(batch *clientv1.StateBatch) {
	var s clientv1.EntityState
	var at clientv1.Vec3
	for i := range batch.StatesLength() {
		batch.States(&s, i)
		if s.Entity() == v.entity {
			continue // it knows better
		}
		if m, in := v.members[s.Entity()]; in {
			m.at = place(s.Position(&at))
			v.members[s.Entity()] = m
		}
	}
}

func (v *view) correct(c *clientv1.Correction) { v.walked(place(c.State(nil).Position(nil))) }

// walked is where it has gone to by itself.
func (v *view) walked(to [3]float32) {
	m := v.members[v.entity]
	m.at = to
	v.members[v.entity] = m
}

func place(p *clientv1.Vec3) [3]float32 { return [3]float32{p.X(), p.Y(), p.Z()} }
