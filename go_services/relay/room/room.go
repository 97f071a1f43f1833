// Package room is the core of a live room: who is in, where everybody is, what is said. It has no clock, no goroutine
// and no I/O: inputs and the time go in, outputs come out of a Sink, so that the whole behaviour of a room can be told
// as a text script (testdata/) and searched by tests.
//
// A room has two channels. The state channel holds the last value of each entity and is sent once a tick. The ordered
// channel is numbered (frames.LogPosition) and sent as soon as it is in the log: inputs change the room at once, and
// whatever tells of an ordered change waits until the entry that it came by is logged (TakeUnlogged, Logged).
package room

import (
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
	// State is for all members: the entities that changed since the tick before.
	State(tick uint64, states []frames.EntityState, values []frames.EntityValues)
}

type member struct {
	Record
	// link is where the member hears, once its entry is logged; the zero Link while it has no connection.
	link Link
	// speaks is where its inputs come from.
	speaks Link
	// left says that it has asked to leave.
	left bool
	// leaves is when a member without a connection leaves; zero if it has one.
	leaves time.Time
	state  frames.EntityState
	values []byte
	walk   walk
	seen   *recent

	shown              bool // others know of it
	astray             bool // an earlier relay knew where it is, and its gateway has not come back to say so
	dirty, valuesDirty bool
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

	dirty  []*member
	states []frames.EntityState
	values []frames.EntityValues
}

// New makes a room out of its past. Its members have no connections: they leave if none comes within the hold.
func New(id string, cfg Config, sink Sink, now time.Time, past Past) *Room {
	r := &Room{
		id: id, epoch: past.Epoch, cfg: cfg, sink: sink, encode: frames.NewEncoder(),
		byLink: map[Link]*member{}, byUser: map[string]*member{},
		lastEntity: past.LastEntity, last: past.Last, released: past.Last,
	}
	for _, record := range past.Members {
		r.restore(now, record)
	}
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

func (r *Room) restore(now time.Time, record Record) {
	m := &member{
		Record: record, leaves: now.Add(r.cfg.Hold), seen: &recent{}, shown: true, astray: true, walk: newWalk(now),
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

// Reclaimed takes a greater epoch, in which the same owner goes on.
func (r *Room) Reclaimed(epoch uint64) { r.epoch = epoch }

// Position is the newest place in the ordered channel that members know of.
func (r *Room) Position() frames.LogPosition { return r.released }

// Ticks is how many ticks had something to send.
func (r *Room) Ticks() uint64 { return r.tick }

// Dirty says whether the next tick has something to send.
func (r *Room) Dirty() bool { return len(r.dirty) > 0 }

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

// States visits the state of every member of whom it is known, for a reader that has missed some.
func (r *Room) States() ([]frames.EntityState, []frames.EntityValues) {
	r.states, r.values = r.states[:0], r.values[:0]
	for _, m := range r.shown {
		if m.astray {
			continue
		}
		r.states = append(r.states, m.state)
		if len(m.values) > 0 {
			r.values = append(r.values, frames.EntityValues{Entity: m.Entity, Values: m.values})
		}
	}
	return r.states, r.values
}

// Tick sends the state of the entities that changed since the tick before, if any did.
func (r *Room) Tick() {
	if len(r.dirty) == 0 {
		return
	}
	r.tick++
	r.states, r.values = r.states[:0], r.values[:0]
	for _, m := range r.dirty {
		r.states = append(r.states, m.state)
		if m.valuesDirty {
			r.values = append(r.values, frames.EntityValues{Entity: m.Entity, Values: m.values})
		}
		m.dirty, m.valuesDirty = false, false
	}
	r.dirty = r.dirty[:0]
	r.sink.State(r.tick, r.states, r.values)
}

// markDirty has the next tick tell of a member, if others know of it.
func (r *Room) markDirty(m *member) {
	if m.shown && !m.dirty {
		m.dirty = true
		r.dirty = append(r.dirty, m)
	}
}

// tellAll has the next tick tell of everybody of whom it is known where they are: somebody has missed some.
func (r *Room) tellAll() {
	for _, m := range r.shown {
		if !m.astray {
			m.valuesDirty = len(m.values) > 0
			r.markDirty(m)
		}
	}
}

func (r *Room) undirty(m *member) {
	if m.dirty {
		m.dirty = false
		r.dirty = slices.DeleteFunc(r.dirty, func(other *member) bool { return other == m })
	}
}

func (m *member) frame() frames.Member {
	return frames.Member{User: m.User, State: m.state, Values: m.values}
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
		write("|%v %v %v %v %v %v %t %t %q %v", m.Record, named(m.link), named(m.speaks), m.leaves.UnixNano(), m.state, m.walk.saved,
			m.shown, m.astray, m.values, m.seen.keys)
	}
	for _, m := range r.shown {
		write("|%d", m.Entity)
	}
	for _, e := range r.tail {
		write("|%v %s %s", e.LogPosition, e.Author, e.Key)
	}
	for _, e := range r.unlogged {
		write("|%v", e.LogPosition)
	}
	for _, waits := range r.held {
		write("|%d", waits.entries)
	}
	return h.Sum64()
}
