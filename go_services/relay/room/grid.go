package room

import (
	"cmp"
	"slices"

	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

// Grid says how a room is seen that is too full for everybody to see everybody: in square cells. Who is in one cell sees
// the cell and the eight around it at the full rate (near), the sixteen around those at a lower one (far), and nothing
// beyond. An entity changes its cell only when it is farther outside than the margin, so that nobody who walks along a
// border flickers.
type Grid struct {
	// More than From members make the room a grid; it is none any more with fewer than Until.
	From, Until int
	// Cell is the side of a cell, and Margin how far an entity may be outside of its own, in metres.
	Cell, Margin float32
	// FarTicks is how many ticks pass between two looks at what is far.
	FarTicks uint64
	// FrameBytes bounds the states and values in one frame, and NearBytes those of them that may be near. What does not
	// fit is in the next frames, in turn.
	FrameBytes, NearBytes int
	// GoneAtOnce bounds how many entities one frame says are out of sight.
	GoneAtOnce int
	// RosterMembers bounds the members in one part of the roster.
	RosterMembers int
}

// DefaultGrid is how rooms are when nobody says otherwise. A frame is at most about two packets, in rooms of either kind:
// 128 members who all move, 20 bytes each, are as much as a grid's frame. A screen is some 30 metres wide.
func DefaultGrid() Grid {
	return Grid{
		From: 128, Until: 96, Cell: 16, Margin: 1, FarTicks: 5, FrameBytes: 2800, NearBytes: 2100, GoneAtOnce: 256,
		RosterMembers: 128,
	}
}

// Radius is how far everybody sees everybody, in metres: of two who are at least two cells apart, each may be outside of
// its own by the margin.
func (g Grid) Radius() float32 { return g.Cell - 2*g.Margin }

const (
	stateBytes = 20 // of an entity's state in a frame, at most
	valueBytes = 2  // of an entity's values, beside the values
	// goneFrames bounds how many frames of entities that are out of sight may wait for an audience. Past it all is told anew.
	goneFrames = 4
)

// ring is a part of what is seen from a cell, the nearest first.
type ring [][2]int

var near, far = rings()

func rings() (near, far ring) {
	for x := -2; x <= 2; x++ {
		for z := -2; z <= 2; z++ {
			if max(x, -x, z, -z) < 2 {
				near = append(near, [2]int{x, z})
			} else {
				far = append(far, [2]int{x, z})
			}
		}
	}
	slices.SortStableFunc(near, func(a, b [2]int) int { return cmp.Compare(a[0]*a[0]+a[1]*a[1], b[0]*b[0]+b[1]*b[1]) })
	return near, far
}

// grid is a room in cells: where entities are, and who looks from where.
//
// A change is stamped with the tick that is next. For each audience it is known up to which stamp it was sent all that is
// near, and all that is far: so an audience that gets nothing for a while gets the newest later, and no more of it.
type grid struct {
	Grid
	cols, rows int
	cells      []*cell // made when somebody is there first
	audiences  []*audience
	streams    map[uint64]*watcher
	lookers    []*member // who have something to catch up
	until      uint64    // the tick up to which there may be something to send
}

type cell struct {
	x, z      int
	members   []*member // in order of entity
	changed   uint64    // the newest stamp of a change that happened here
	audiences []*audience
}

// watcher is a gateway's stream by which somebody looks.
type watcher struct {
	audiences int
	behind    bool // has not taken what it was shown before; gets nothing in this tick
}

// audience is those who look from one cell by one stream: they get the same frames.
type audience struct {
	stream  uint64
	watcher *watcher
	cell    *cell
	index   int // in grid.audiences
	members []*member
	links   []uint32 // of the members; not written to, for deliveries hold it

	near, far lap
	fresh     bool      // has not been shown anything yet
	anew      bool      // is to forget whom it saw
	gone      []*member // out of sight, and it was not told
}

// lap goes around a ring, again and again, and over as many ticks as the bytes of its frames need.
type lap struct {
	// known: what changed up to this tick was sent.
	known uint64
	// began is the tick in which the lap that is under way began; 0: none is.
	began uint64
	// at and after are the place in the ring and the entity after which it goes on.
	at    int
	after uint32
}

// assumed is up to which tick the audience may have been sent something that the lap does not send again.
func (l *lap) assumed(tick uint64) uint64 {
	if l.began != 0 {
		return tick
	}
	return l.known
}

// catchUp is what a member has not seen that its audience has.
type catchUp struct {
	waits bool // is in grid.lookers
	anew  bool
	gone  []*member
	cells []unseen
	after uint32 // the entity of the first of the cells after which it goes on
}

// unseen is a cell in which one has not seen what changed after a tick.
type unseen struct {
	cell  *cell
	since uint64
}

func newGrid(cfg Config) *grid {
	g := &grid{Grid: cfg.Grid, streams: map[uint64]*watcher{}}
	g.cols, g.rows = int(cfg.Width/g.Cell)+1, int(cfg.Depth/g.Cell)+1
	g.cells = make([]*cell, g.cols*g.rows)
	return g
}

// at is a cell; nil if it is outside of the room, or nobody was ever there.
func (g *grid) at(x, z int) *cell {
	if x < 0 || z < 0 || x >= g.cols || z >= g.rows {
		return nil
	}
	return g.cells[z*g.cols+x]
}

// cellOf is where an entity belongs that was in a cell before, or in none.
func (g *grid) cellOf(p frames.Vec3, before *cell) *cell {
	if before != nil && g.inside(p.X, before.x) && g.inside(p.Z, before.z) {
		return before
	}
	x, z := g.index(p.X, g.cols), g.index(p.Z, g.rows)
	i := z*g.cols + x
	if g.cells[i] == nil {
		g.cells[i] = &cell{x: x, z: z}
	}
	return g.cells[i]
}

// index is the row or column of a place; one outside of the room belongs to the last.
func (g *grid) index(at float32, n int) int { return min(max(int(at/g.Cell), 0), n-1) }

// inside says whether a place is within the margin of the n-th row or column.
func (g *grid) inside(at float32, n int) bool {
	return at >= float32(n)*g.Cell-g.Margin && at <= float32(n+1)*g.Cell+g.Margin
}

// apart is how many cells lie between two, and one: of neighbours it is 1.
func apart(a, b *cell) int { return max(a.x-b.x, b.x-a.x, a.z-b.z, b.z-a.z) }

func sees(from, what *cell) bool { return apart(from, what) <= 2 }

// stir has the room tick until all have been told of what happens in the next tick.
func (g *grid) stir(tick uint64) { g.until = max(g.until, tick+g.FarTicks) }

func byEntity(m *member, entity uint32) int { return cmp.Compare(m.Entity, entity) }

func (c *cell) add(m *member) {
	i, _ := slices.BinarySearchFunc(c.members, m.Entity, byEntity)
	c.members = slices.Insert(c.members, i, m)
}

func (c *cell) remove(m *member) {
	if i, found := slices.BinarySearchFunc(c.members, m.Entity, byEntity); found {
		c.members = slices.Delete(c.members, i, i+1)
	}
}

// moved takes the new place of an entity, whose change has the stamp.
func (g *grid) moved(m *member, stamp uint64) {
	before := m.cell
	m.cell = g.cellOf(m.state.Position, before)
	m.cell.changed = max(m.cell.changed, stamp)
	g.stir(stamp)
	if m.cell == before {
		return
	}
	m.cell.add(m)
	if len(m.values) > 0 {
		m.valuesChanged = stamp // for those who have not seen it before
	}
	if before == nil {
		return
	}
	before.remove(m)
	if m.audience != nil {
		g.look(m, before, stamp-1)
	}
	g.leftSight(m, before)
}

// leftSight has those told who saw an entity where it was, and do not where it is. It was in a cell before, or in sight of
// all (nil).
func (g *grid) leftSight(m *member, before *cell) {
	if before == nil {
		for _, a := range g.audiences {
			if !sees(a.cell, m.cell) {
				a.lost(m, goneFrames*g.GoneAtOnce)
			}
		}
		return
	}
	for _, r := range []ring{near, far} {
		for _, d := range r {
			c := g.at(before.x+d[0], before.z+d[1])
			if c == nil || sees(c, m.cell) {
				continue
			}
			for _, a := range c.audiences {
				a.lost(m, goneFrames*g.GoneAtOnce)
			}
		}
	}
}

// lost notes that an audience does not see an entity any more.
func (a *audience) lost(m *member, most int) {
	if a.anew { // it is to forget whom it saw
		return
	}
	if a.gone = append(a.gone, m); len(a.gone) > most {
		clear(a.gone)
		a.anew, a.gone = true, a.gone[:0]
		a.near, a.far, a.fresh = lap{}, lap{}, true
	}
}

// removed takes an entity out, whose leaving the ordered channel tells.
func (g *grid) removed(m *member) {
	if m.audience != nil {
		g.leave(m)
	}
	if m.cell != nil {
		m.cell.remove(m)
		m.cell = nil
	}
}

// look has a member see what is to be seen from its cell. It comes from another cell (before), or its client has seen
// nothing yet, or not all of it (nil). The tick is the newest that was.
func (g *grid) look(m *member, before *cell, tick uint64) {
	if m.catchUp == nil {
		m.catchUp = &catchUp{}
	}
	up, seen := m.catchUp, knowledge{}
	if before != nil && apart(before, m.cell) <= 2 {
		seen = g.knowledge(m)
		g.keepGone(m, before)
	} else {
		up.anew, up.gone = true, up.gone[:0]
	}
	if m.audience != nil {
		g.leave(m)
	}
	up.cells, up.after = up.cells[:0], 0
	a := m.cell.audienceOf(m.link.Stream)
	if a == nil { // it is all of the audience: whatever is to be told is told to that
		a = g.gather(m)
		a.near.known, a.far.known = g.least(m.cell, near, seen.near[:], tick), g.least(m.cell, far, seen.far[:], tick)
		a.anew, up.anew = up.anew, false
		a.gone, up.gone = append(a.gone, up.gone...), up.gone[:0]
	} else {
		g.missing(m, near, seen.near[:], a.near.assumed(tick))
		g.missing(m, far, seen.far[:], a.far.assumed(tick))
		up.anew = up.anew && !a.anew
	}
	a.members = append(a.members, m)
	a.links = append(slices.Clip(a.links), m.link.ID)
	m.audience = a
	if !up.waits && (up.anew || len(up.gone) > 0 || len(up.cells) > 0) {
		up.waits = true
		g.lookers = append(g.lookers, m)
	}
	g.stir(tick + 1)
}

// sawAll makes one a member of a grid who has seen everybody.
func (g *grid) sawAll(m *member, all []*member, tick uint64) {
	a := m.cell.audienceOf(m.link.Stream)
	if a == nil {
		a = g.gather(m)
		a.near.known, a.far.known = tick, tick
		for _, other := range all {
			if other.cell == nil || !sees(a.cell, other.cell) {
				a.gone = append(a.gone, other)
			}
		}
	}
	m.catchUp, m.audience = &catchUp{}, a
	a.members = append(a.members, m)
	a.links = append(slices.Clip(a.links), m.link.ID)
}

// knowledge is up to which stamp one has been sent what changed in the cells around.
type knowledge struct {
	near [9]uint64
	far  [16]uint64
}

// knowledge is what a member knows by the audience that it is still of, of the cells around the one that it is in.
func (g *grid) knowledge(m *member) (k knowledge) {
	for i, d := range near {
		k.near[i] = m.knows(g.at(m.cell.x+d[0], m.cell.z+d[1]))
	}
	for i, d := range far {
		k.far[i] = m.knows(g.at(m.cell.x+d[0], m.cell.z+d[1]))
	}
	return k
}

func (m *member) knows(c *cell) uint64 {
	a := m.audience
	if a == nil || c == nil {
		return 0
	}
	for _, u := range m.catchUp.cells {
		if u.cell == c {
			return u.since
		}
	}
	switch d := apart(a.cell, c); {
	case d <= 1:
		return a.near.known
	case d <= 2:
		return a.far.known
	default:
		return 0
	}
}

// keepGone notes whom a member no longer sees, who has left a cell: those of whom its audience was not told yet, and who is
// in the cells that it has turned its back on.
func (g *grid) keepGone(m *member, before *cell) {
	up, a := m.catchUp, m.audience
	up.anew = up.anew || a.anew
	up.gone = append(up.gone, a.gone...)
	for _, r := range []ring{near, far} {
		for _, d := range r {
			if c := g.at(before.x+d[0], before.z+d[1]); c != nil && !sees(m.cell, c) {
				up.gone = append(up.gone, c.members...)
			}
		}
	}
}

// least is what is known of all of a ring.
func (g *grid) least(from *cell, r ring, seen []uint64, tick uint64) uint64 {
	for i, d := range r {
		if c := g.at(from.x+d[0], from.z+d[1]); c != nil && c.changed > seen[i] && len(c.members) > 0 {
			tick = min(tick, seen[i])
		}
	}
	return tick
}

// missing notes what a member has not seen of a ring that its new audience may have been sent.
func (g *grid) missing(m *member, r ring, seen []uint64, assumed uint64) {
	for i, d := range r {
		c := g.at(m.cell.x+d[0], m.cell.z+d[1])
		if c != nil && seen[i] < assumed && c.changed > seen[i] && len(c.members) > 0 {
			m.catchUp.cells = append(m.catchUp.cells, unseen{c, seen[i]})
		}
	}
}

func (c *cell) audienceOf(stream uint64) *audience {
	for _, a := range c.audiences {
		if a.stream == stream {
			return a
		}
	}
	return nil
}

// gather makes the audience of a member's cell and stream.
func (g *grid) gather(m *member) *audience {
	w := g.streams[m.link.Stream]
	if w == nil {
		w = &watcher{}
		g.streams[m.link.Stream] = w
	}
	w.audiences++
	a := &audience{stream: m.link.Stream, watcher: w, cell: m.cell, index: len(g.audiences), fresh: true}
	g.audiences = append(g.audiences, a)
	m.cell.audiences = append(m.cell.audiences, a)
	return a
}

// leave takes a member out of its audience.
func (g *grid) leave(m *member) {
	a := m.audience
	m.audience = nil
	i := slices.Index(a.members, m)
	a.members = slices.Delete(a.members, i, i+1)
	a.links = slices.Concat(a.links[:i], a.links[i+1:])
	if len(a.members) > 0 {
		return
	}
	last := g.audiences[len(g.audiences)-1]
	g.audiences[a.index], last.index = last, a.index
	g.audiences[len(g.audiences)-1] = nil
	g.audiences = g.audiences[:len(g.audiences)-1]
	a.cell.audiences = slices.DeleteFunc(a.cell.audiences, func(other *audience) bool { return other == a })
	if a.watcher.audiences--; a.watcher.audiences == 0 {
		delete(g.streams, a.stream)
	}
}
