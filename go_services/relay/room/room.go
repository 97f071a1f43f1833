// Package room is the core of a live room: who is in, where everybody is, what is said. It has no clock, no goroutine
// and no I/O: inputs and the time go in, outputs come out of a Sink, so that the whole behaviour of a room can be told
// as a text script (testdata/) and searched by tests.
//
// A room has two channels. The state channel holds the last value of each entity and is sent once a tick. The ordered
// channel is numbered (frames.LogPosition) and sent as soon as it is in the log: inputs change the room at once, and
// whatever tells of an ordered change waits until the entry that it came by is logged (TakeUnlogged, Logged).
package room

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

// Link names a member's connection: the stream that it came by, and the gateway's number on that stream.
type Link struct {
	Stream uint64
	ID     uint32
}

// In names an input: by the client's number, which its answer carries, and by the gateway's, 0 if it has none.
type In struct {
	RID    uint32
	Number uint64
}

// Config is what a room must know of itself. All fields are set.
type Config struct {
	Capacity     int
	Width, Depth float32
	TickHz       int
	MaxSpeed     float32
	Spawn        frames.Vec3
	DisplayName  string
	// Hold is how long a member stays in whose connection is lost.
	Hold time.Duration
	// Grid is how the room is seen when it is full.
	Grid Grid
}

// Height bounds how high and how low an entity may be, in metres.
const Height = 100

// Sink takes what comes out of a room. What it is given is valid only during the call, but for entries, which do not
// change any more.
type Sink interface {
	// Joined tells a member that it is in, or in again. It comes before anything else that the member receives.
	Joined(to Link, in In, snapshot frames.Snapshot)
	// Refused tells somebody who wanted to enter that it is not in.
	Refused(to Link, in In, reason commonv1.ErrorReason, message string)
	// Removed tells a member that it is no longer in; the reason is UNSPECIFIED if it left by itself.
	Removed(to Link, in In, reason commonv1.ErrorReason)
	// Event is for all members who have joined.
	Event(e *Entry)
	// Again is the same for one stream that has missed it.
	Again(e *Entry, stream uint64)
	// Told is for some members of one stream: a whisper, or something that one alone has missed.
	Told(e *Entry, to ...Link)
	// Done answers an input.
	Done(to Link, in In)
	// Failed answers an input.
	Failed(to Link, in In, reason commonv1.ErrorReason, message string)
	// Corrected tells a member that its entity is not where it said.
	Corrected(to Link, state frames.EntityState)
	// State is for all members, in a room that is no grid: the entities that changed since the tick before.
	State(batch frames.StateBatch)
	// View is for some members of a stream: what they have not seen of what is in their sight. The links do not change any
	// more.
	View(stream uint64, links []uint32, batch frames.StateBatch)
	// Roster is for some members of a stream: a part of who is in a room that is a grid.
	Roster(stream uint64, links []uint32, roster frames.Roster)
	// Behind says whether a stream has not taken the views of an earlier tick. It gets no others until it has: what it has
	// not seen then is the newest.
	Behind(stream uint64) bool
}

type member struct {
	Record
	// link is where the member hears, once its entry is logged; the zero Link while it has no connection.
	link Link
	// speaks is where its inputs come from.
	speaks Link
	// left says that it has asked to leave.
	left bool
	// lost is since when the member has no connection; zero if it has one. untold says that the store does not know it.
	lost   time.Time
	untold bool
	state  frames.EntityState
	values []byte
	walk   walk
	seen   *recent

	shown  bool // others know of it
	placed bool // where it is is known: not of who was in at another relay, until it is back
	dirty  bool
	// changed and valuesChanged are the ticks that were next when the state changed, and the values.
	changed, valuesChanged uint64

	// Where it is in a grid, and from where it looks; nil if it does not.
	cell     *cell
	audience *audience
	catchUp  *catchUp

	looks, wantsRoster bool // is in the room's lists of those
	rosterAfter        uint32
}

// Room is one live room. Its methods must not be called at the same time.
type Room struct {
	id     string
	epoch  uint64
	cfg    Config
	sink   Sink
	encode *frames.Encoder

	tick       uint64
	lastEntity uint32
	members    []*member // who is in, in order of entity
	shown      []*member // who is in by what is logged, in the order of their entries
	byLink     map[Link]*member
	byUser     map[string]*member

	last      frames.LogPosition // of the newest entry
	released  frames.LogPosition // of the newest that is logged
	floor     frames.LogPosition // all entries after it are in the tail
	tail      []*Entry
	published uint64
	logged    uint64
	unlogged  []*Entry // to be handed out
	pending   []*Entry // published, not logged
	held      []held
	logBroken bool

	dirty   []*member
	looks   []*member // who are to see everybody, in a room that is no grid
	rosters []*member // who are to get a part of the roster
	grid    *grid     // nil while everybody sees everybody
	batch   frames.StateBatch
}

// comeBackTime is how long those have at least to come back who were in at another relay, though their hold be over.
const comeBackTime = 2 * time.Second

// New makes a room out of its past. Its members have no connections: they leave if none comes within the hold, which goes
// on from when it began, as far as that is known.
func New(id string, cfg Config, sink Sink, now time.Time, past Past) *Room {
	cfg.Width, cfg.Depth = wholeCentimetres(cfg.Width), wholeCentimetres(cfg.Depth)
	cfg.Spawn = cfg.Spawn.Rounded()
	cfg.Spawn.X, cfg.Spawn.Z = min(cfg.Spawn.X, cfg.Width), min(cfg.Spawn.Z, cfg.Depth) // also if that was at the wall
	r := &Room{
		id: id, epoch: past.Epoch, cfg: cfg, sink: sink, encode: frames.NewEncoder(),
		byLink: map[Link]*member{}, byUser: map[string]*member{},
		lastEntity: past.LastEntity, last: past.Last, released: past.Last,
	}
	for _, record := range past.Members {
		ago, known := past.Lost[record.Entity]
		r.restore(now, now.Add(-max(0, min(ago, cfg.Hold-comeBackTime))), known, record)
	}
	slices.SortFunc(r.members, inOrder)
	slices.SortFunc(r.shown, inOrder)
	r.size()
	r.floor = past.Last
	if len(past.Tail) > 0 {
		r.floor = past.Tail[0].LogPosition
	}
	if past.Complete {
		r.floor.Seq, r.floor.Sub = 0, 0
		if len(past.Tail) == 0 {
			r.floor.Epoch = past.Epoch
		}
	}
	for i := range past.Tail {
		e := &past.Tail[i]
		r.tail = append(r.tail, e)
		if m := r.byUser[e.Author]; m != nil {
			m.seen.add(e.Key)
		}
	}
	return r
}

// wholeCentimetres is a side of the room, a little shorter: so that who stands at the wall is inside, to centimetres, too.
func wholeCentimetres(side float32) float32 {
	whole := frames.Vec3{X: side}.Rounded().X
	if whole > side {
		whole = frames.Vec3{X: side - 0.005}.Rounded().X
	}
	return whole
}

func (r *Room) restore(now, lost time.Time, known bool, record Record) {
	m := &member{
		Record: record, lost: lost, untold: !known, seen: &recent{}, shown: true, walk: newWalk(now),
		state: frames.EntityState{Entity: record.Entity, Position: r.cfg.Spawn},
	}
	r.lastEntity = max(r.lastEntity, record.Entity)
	r.members = append(r.members, m)
	r.shown = append(r.shown, m)
	r.byUser[m.User.ID] = m
}

// Len is how many members are in.
func (r *Room) Len() int { return len(r.members) }

// Epoch is the room's epoch.
func (r *Room) Epoch() uint64 { return r.epoch }

// Reclaimed takes a greater epoch, in which the same owner goes on. The store does not know any more whose connections are
// lost.
func (r *Room) Reclaimed(epoch uint64) {
	r.epoch = epoch
	for _, m := range r.members {
		m.untold = !m.lost.IsZero()
	}
}

// Position is the newest place in the ordered channel that members know of.
func (r *Room) Position() frames.LogPosition { return r.released }

// Ticks is how many ticks had something to send, or might have had.
func (r *Room) Ticks() uint64 { return r.tick }

// Dirty says whether the next tick has something to send.
func (r *Room) Dirty() bool {
	return len(r.dirty) > 0 || len(r.looks) > 0 || len(r.rosters) > 0 || r.grid != nil && r.tick < r.grid.until
}

// TickInterval is the time between two ticks.
func (r *Room) TickInterval() time.Duration { return time.Second / time.Duration(r.cfg.TickHz) }

// View is a member as an operator sees it.
type View struct {
	frames.Member
	Link  Link
	Since time.Time
}

// Members lists the members in order of entity.
func (r *Room) Members() []View {
	views := make([]View, len(r.members))
	for i, m := range r.members {
		views[i] = View{Member: m.frame(), Link: m.speaks, Since: time.UnixMilli(int64(m.SinceMS))}
	}
	return views
}

// Past is what must be known of the room after the loss of its relay: by what is logged.
func (r *Room) Past() Past {
	past := Past{
		Epoch: r.epoch, Last: r.released, LastEntity: r.lastEntity, Complete: r.floor.Seq == 0 && r.floor.Sub == 0,
	}
	for _, m := range r.shown {
		past.Members = append(past.Members, m.Record)
	}
	for _, e := range r.tail {
		past.Tail = append(past.Tail, *e)
	}
	return past
}

// States is the state of every member, for a reader that has missed some.
func (r *Room) States() frames.StateBatch {
	b := r.begin()
	for _, m := range r.shown {
		if !m.placed {
			continue
		}
		b.States = append(b.States, m.state)
		if len(m.values) > 0 {
			b.Values = append(b.Values, frames.EntityValues{Entity: m.Entity, Values: m.values})
		}
	}
	return *b
}

// Tick sends the state of the entities that changed since the tick before, if any did, and what members asked for.
func (r *Room) Tick() {
	switch {
	case r.grid != nil:
		r.tick++
		r.tickGrid()
	case len(r.dirty) > 0:
		r.tick++
		r.tickAll()
	}
	r.showAll()
	r.sendRosters()
}

// tickAll sends everybody the same.
func (r *Room) tickAll() {
	b := r.begin()
	for _, m := range r.dirty {
		b.States = append(b.States, m.state)
		if m.valuesChanged == r.tick {
			b.Values = append(b.Values, frames.EntityValues{Entity: m.Entity, Values: m.values})
		}
		m.dirty = false
	}
	r.dirty = r.dirty[:0]
	r.sink.State(*b)
}

// changed has the next tick tell of a member, if others know of it.
func (r *Room) changed(m *member) {
	m.changed = r.tick + 1
	switch {
	case !m.shown:
	case r.grid != nil:
		r.grid.moved(m, m.changed)
	case !m.dirty:
		m.dirty = true
		r.dirty = append(r.dirty, m)
	}
}

// tellAll has the next tick tell of everybody of whom it is known where they are: somebody has missed some. In a grid
// whoever is back sees all anew.
func (r *Room) tellAll() {
	if r.grid != nil {
		return
	}
	for _, m := range r.shown {
		if !m.placed {
			continue
		}
		if r.changed(m); len(m.values) > 0 {
			m.valuesChanged = m.changed
		}
	}
}

// setValues keeps what the application syncs with a member.
func (r *Room) setValues(m *member, values []byte) {
	m.values, m.valuesChanged = append(m.values[:0], values...), r.tick+1
}

// show lets the others know of a member, of whom they are told something.
func (r *Room) show(m *member, told frames.MemberJoined) {
	m.shown, m.placed = true, true
	r.shown = append(r.shown, m)
	m.changed = r.tick + 1
	if len(m.values) > 0 {
		m.valuesChanged = m.changed
	}
	r.size()
	if r.grid != nil || told.OutOfSight || m.state != told.Member.State || len(m.values) > 0 {
		r.changed(m)
	}
	if r.grid != nil && !told.OutOfSight {
		r.grid.leftSight(m, nil)
	}
	if m.link != (Link{}) {
		r.hear(m, m.link)
	}
}

// hide is show's reverse.
func (r *Room) hide(m *member) {
	is := func(other *member) bool { return other == m }
	m.shown = false
	r.shown = slices.DeleteFunc(r.shown, is)
	if m.dirty {
		m.dirty = false
		r.dirty = slices.DeleteFunc(r.dirty, is)
	}
	if r.grid != nil {
		r.grid.removed(m)
	}
	r.size()
}

// hear gives a member the link that it hears by; the zero Link: it hears nothing any more. In a grid it sees all anew.
func (r *Room) hear(m *member, link Link) {
	if m.audience != nil {
		r.grid.leave(m)
	}
	m.link = link
	if link == (Link{}) || !m.shown {
		return
	}
	if !m.placed {
		m.placed = true
		r.changed(m)
	}
	if r.grid != nil {
		r.grid.look(m, nil, r.tick)
	}
}

// size makes the room a grid, or no longer one, as its members are many.
func (r *Room) size() {
	switch n := len(r.shown); {
	case r.grid == nil && n > r.cfg.Grid.From:
		r.beGrid()
	case r.grid != nil && n < r.cfg.Grid.Until:
		r.beNoGrid()
	}
}

// beGrid takes those out of sight who are too far, of members who all saw each other.
func (r *Room) beGrid() {
	g := newGrid(r.cfg)
	r.grid = g
	for _, m := range r.shown {
		if m.placed {
			g.moved(m, m.changed)
		}
		m.dirty = false
	}
	r.dirty = nil
	g.stir(r.tick + 1)
	for _, m := range r.shown {
		if m.link != (Link{}) && m.placed {
			g.sawAll(m, r.shown, r.tick)
		}
	}
	for _, m := range r.looks {
		if m.looks = false; m.audience != nil {
			g.look(m, nil, r.tick)
		}
	}
	r.looks = nil
}

// beNoGrid has the next tick tell all of everybody.
func (r *Room) beNoGrid() {
	r.grid = nil
	for _, m := range r.shown {
		m.cell, m.audience, m.catchUp = nil, nil, nil
	}
	r.tellAll()
}

func inOrder(a, b *member) int { return cmp.Compare(a.Entity, b.Entity) }

func (m *member) frame() frames.Member {
	return frames.Member{User: m.User, State: m.state, Values: m.values}
}

// HashTick tells apart what Hash leaves out: what the next tick tells, and for how long everybody has been able to walk.
func (r *Room) HashTick() uint64 {
	h := fnv.New64a()
	for _, m := range r.members {
		_, _ = fmt.Fprintf(h, "%d;", m.walk.last.UnixNano())
	}
	for _, m := range r.dirty {
		_, _ = fmt.Fprintf(h, "%d %t;", m.Entity, m.valuesChanged == r.tick+1)
	}
	return h.Sum64()
}

// Hash tells apart what matters of two rooms: who is in and where, what was said, what waits.
func (r *Room) Hash() uint64 { return r.HashBy(func(stream uint64) uint64 { return stream }) }

// HashBy is Hash with other names for the streams.
func (r *Room) HashBy(name func(stream uint64) uint64) uint64 {
	named := func(link Link) Link { return Link{Stream: name(link.Stream), ID: link.ID} }
	h := fnv.New64a()
	write := func(format string, args ...any) { _, _ = fmt.Fprintf(h, format, args...) }
	write("%d %d %v %v %v %d %d %v", r.epoch, r.lastEntity, r.last, r.released, r.floor, r.published, r.logged, r.logBroken)
	for _, m := range r.members {
		write("|%v %v %v %v %v %v %t %t %t %q %v", m.Record, named(m.link), named(m.speaks), m.lost.UnixNano(), m.state, m.walk.saved,
			m.left, m.shown, m.placed, m.values, m.seen.keys)
	}
	for _, m := range r.shown {
		write("|%d", m.Entity)
		if m.cell != nil {
			write(" %d %d", m.cell.x, m.cell.z)
		}
	}
	for _, e := range r.tail {
		write("|%v %s %s", e.LogPosition, e.Author, e.Key)
	}
	for _, e := range r.unlogged {
		write("|%v", e.LogPosition)
	}
	for _, waits := range r.held {
		write("|%d %d %v %v", waits.entries, waits.kind, named(waits.to), waits.in)
	}
	return h.Sum64()
}
