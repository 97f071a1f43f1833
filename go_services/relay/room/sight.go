package room

import (
	"cmp"
	"slices"

	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

// tickGrid shows each audience what changed in its sight, and members what they have not seen that their audience has.
func (r *Room) tickGrid() {
	g := r.grid
	for stream, w := range g.streams {
		w.behind = r.sink.Behind(stream)
	}
	lookers := g.lookers
	g.lookers = g.lookers[:0]
	for _, m := range lookers {
		switch {
		case m.audience == nil: // it does not look any more
		case m.audience.watcher.behind || !r.showMissed(m):
			g.lookers = append(g.lookers, m)
			g.stir(r.tick)
			continue
		}
		m.catchUp.waits = false
	}
	clear(lookers[len(g.lookers):])
	for _, a := range g.audiences {
		if a.watcher.behind {
			g.stir(r.tick)
			continue
		}
		r.showTo(a)
	}
}

// showTo sends an audience one frame of what changed in its sight, if anything did.
func (r *Room) showTo(a *audience) {
	g, b := r.grid, r.begin()
	b.Anew, a.anew = a.anew, false
	a.gone = r.showGone(a.cell, a.gone)
	runs := a.near.began != 0 || a.far.began != 0
	space := g.NearBytes
	if a.near.began == 0 {
		a.near.start(r.tick)
	}
	r.goOn(&a.near, a.cell, near, &space)
	space += g.FrameBytes - g.NearBytes
	if a.far.began == 0 && (a.fresh || (r.tick+uint64(a.cell.x+2*a.cell.z))%g.FarTicks == 0) {
		a.far.start(r.tick)
	}
	if a.far.began != 0 {
		r.goOn(&a.far, a.cell, far, &space)
	}
	a.fresh = false
	if runs || a.near.began != 0 || a.far.began != 0 || len(a.gone) > 0 {
		g.stir(r.tick)
	}
	if len(b.States) > 0 || len(b.Gone) > 0 || b.Anew {
		r.sink.View(a.stream, a.links, *b)
	}
}

// showMissed sends a member some of what it has not seen; true if that was all of it.
func (r *Room) showMissed(m *member) bool {
	b, up := r.begin(), m.catchUp
	b.Anew, up.anew = up.anew, false
	up.gone = r.showGone(m.cell, up.gone)
	space := r.grid.FrameBytes
	for len(up.cells) > 0 && r.collect(up.cells[0].cell, up.cells[0].since, &up.after, &space) {
		up.cells, up.after = slices.Delete(up.cells, 0, 1), 0
	}
	if len(b.States) > 0 || len(b.Gone) > 0 || b.Anew {
		r.sink.View(m.link.Stream, []uint32{m.link.ID}, *b)
	}
	return len(up.cells) == 0 && len(up.gone) == 0
}

func (l *lap) start(tick uint64) { l.began, l.at, l.after = tick, 0, 0 }

// goOn puts into the frame what changed in a ring since it was known, as far as there is space.
func (r *Room) goOn(l *lap, from *cell, around ring, space *int) {
	for ; l.at < len(around); l.at, l.after = l.at+1, 0 {
		c := r.grid.at(from.x+around[l.at][0], from.z+around[l.at][1])
		if c != nil && !r.collect(c, l.known, &l.after, space) {
			return
		}
	}
	l.known, l.began = l.began, 0
}

// collect puts into the frame what changed in a cell after a tick, of the entities after one; false if there is no space
// for all, and then it goes on after the last.
func (r *Room) collect(c *cell, since uint64, after *uint32, space *int) bool {
	if c.changed <= since {
		return true
	}
	members := c.members
	if *after != 0 {
		i, found := slices.BinarySearchFunc(members, *after, byEntity)
		if found {
			i++
		}
		members = members[i:]
	}
	for _, m := range members {
		if m.changed <= since {
			continue
		}
		bytes := stateBytes
		if m.valuesChanged > since {
			bytes += valueBytes + len(m.values)
		}
		if *space < bytes {
			return false
		}
		*space -= bytes
		*after = m.Entity
		r.batch.States = append(r.batch.States, m.state)
		if m.valuesChanged > since {
			r.batch.Values = append(r.batch.Values, frames.EntityValues{Entity: m.Entity, Values: m.values})
		}
	}
	return true
}

// showGone puts into the frame who is out of sight from a cell, and returns those for whom there was no space.
func (r *Room) showGone(from *cell, gone []*member) (rest []*member) {
	n := 0
	for ; n < len(gone) && len(r.batch.Gone) < r.cfg.Grid.GoneAtOnce; n++ {
		if m := gone[n]; m.shown && (m.cell == nil || !sees(from, m.cell)) { // it may be back, or have left the room
			r.batch.Gone = append(r.batch.Gone, m.Entity)
		}
	}
	kept := copy(gone, gone[n:])
	clear(gone[kept:])
	return gone[:kept]
}

// begin empties the frame that is made next.
func (r *Room) begin() *frames.StateBatch {
	r.batch = frames.StateBatch{
		Tick: r.tick, States: r.batch.States[:0], Values: r.batch.Values[:0], Gone: r.batch.Gone[:0],
	}
	return &r.batch
}

// Look is a member whose client has taken what it was sent and wants to see more: everybody in sight anew, or the roster
// after an entity. It comes with the next tick.
func (r *Room) Look(link Link, view, roster bool, after uint32) {
	m := r.byLink[link]
	if m == nil || m.link != link {
		return
	}
	if view {
		r.lookAnew(m)
	}
	if roster {
		r.wantRoster(m, after)
	}
}

// lookAnew has the next tick tell a member of everybody in sight.
func (r *Room) lookAnew(m *member) {
	switch {
	case !m.shown:
	case r.grid != nil:
		r.grid.look(m, nil, r.tick)
	case !m.looks:
		m.looks = true
		r.looks = append(r.looks, m)
	}
}

// showAll tells the members who look of everybody, in a room that is no grid; those of a stream that is behind at a later
// tick.
func (r *Room) showAll() {
	looks := r.looks
	r.looks = nil
	slices.SortStableFunc(looks, func(a, b *member) int { return cmp.Compare(a.link.Stream, b.link.Stream) })
	for len(looks) > 0 {
		stream := looks[0].link.Stream
		behind := r.sink.Behind(stream)
		var links []uint32
		for len(looks) > 0 && looks[0].link.Stream == stream {
			m := looks[0]
			looks = looks[1:]
			switch {
			case behind:
				r.looks = append(r.looks, m)
				continue
			case m.link != (Link{}) && m.shown:
				links = append(links, m.link.ID)
			}
			m.looks = false
		}
		if len(links) > 0 {
			r.sink.View(stream, links, r.States())
		}
	}
}

// wantRoster has the next tick send a member the roster after an entity.
func (r *Room) wantRoster(m *member, after uint32) {
	m.rosterAfter = after
	if !m.wantsRoster {
		m.wantsRoster = true
		r.rosters = append(r.rosters, m)
	}
}

// sendRosters sends those who want it the next part of the roster; those of one stream who have come equally far share it.
func (r *Room) sendRosters() {
	wanted := r.rosters
	r.rosters = nil
	slices.SortStableFunc(wanted, func(a, b *member) int {
		return cmp.Or(cmp.Compare(a.rosterAfter, b.rosterAfter), cmp.Compare(a.link.Stream, b.link.Stream))
	})
	var part frames.Roster
	for i := 0; i < len(wanted); {
		first := wanted[i]
		if i == 0 || wanted[i-1].rosterAfter != first.rosterAfter {
			part = r.roster(first.rosterAfter)
		}
		var links []uint32
		for ; i < len(wanted) && wanted[i].rosterAfter == first.rosterAfter && wanted[i].link.Stream == first.link.Stream; i++ {
			if wanted[i].wantsRoster = false; wanted[i].link != (Link{}) && wanted[i].shown {
				links = append(links, wanted[i].link.ID)
			}
		}
		if len(links) > 0 {
			r.sink.Roster(first.link.Stream, links, part)
		}
	}
}

func (r *Room) roster(after uint32) frames.Roster {
	i, found := slices.BinarySearchFunc(r.shown, after, byEntity)
	if found {
		i++
	}
	end := min(i+max(r.cfg.Grid.RosterMembers, 1), len(r.shown))
	part := frames.Roster{Last: end == len(r.shown)}
	for _, m := range r.shown[i:end] {
		part.Members = append(part.Members, m.frame())
	}
	return part
}
