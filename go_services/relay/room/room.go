// Package room is the core of a live room: who is in, where everybody is, what is said. It has no clock, no goroutine
// and no I/O: inputs and the time go in, outputs come out of a Sink, so that the whole behaviour of a room can be told
// as a text script (testdata/) and searched by tests.
//
// A room has two channels. The state channel holds the last value of each entity and is sent once a tick. The ordered
// channel is numbered by (epoch, seq) and sent at once.
package room

import (
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

// Config is what a room must know of itself. All fields are set.
type Config struct {
	Capacity     int
	Width, Depth float32
	TickHz       int
	MaxSpeed     float32
	Spawn        frames.Vec3
	DisplayName  string
}

// Height bounds how high and how low an entity may be, in metres.
const Height = 100

// Sink takes what comes out of a room. What it is given is valid only during the call.
type Sink interface {
	// Joined tells a member that it is in. It comes before anything else that the member receives.
	Joined(to Link, rid uint32, snapshot frames.Snapshot)
	// Refused tells somebody who wanted to enter that it is not in.
	Refused(to Link, rid uint32, reason commonv1.ErrorReason, message string)
	// Removed tells a member that it is no longer in; the reason is UNSPECIFIED if it left by itself.
	Removed(to Link, rid uint32, reason commonv1.ErrorReason)
	// Event is for all members but one; the zero Link excludes nobody.
	Event(e frames.Event, except Link)
	// Whisper is for two members; both links are the same if somebody whispers to itself.
	Whisper(e frames.Event, from, to Link)
	// Done answers a frame.
	Done(to Link, rid uint32)
	// Failed answers a frame.
	Failed(to Link, rid uint32, reason commonv1.ErrorReason, message string)
	// Corrected tells a member that its entity is not where it said.
	Corrected(to Link, state frames.EntityState)
	// State is for all members: the entities that changed since the tick before.
	State(tick uint64, states []frames.EntityState, values []frames.EntityValues)
}

type member struct {
	link    Link
	session string
	role    int32
	user    frames.User
	state   frames.EntityState
	values  []byte
	walk    walk
	seen    recent
	since   time.Time

	dirty, valuesDirty bool
}

// Room is one live room. Its methods must not be called at the same time.
type Room struct {
	id    string
	epoch uint64
	cfg   Config
	sink  Sink

	seq        uint64
	tick       uint64
	lastEntity uint32
	members    []*member // in order of entity
	byLink     map[Link]*member
	byUser     map[string]*member

	dirty  []*member
	states []frames.EntityState
	values []frames.EntityValues
}

// New makes an empty room.
func New(id string, epoch uint64, cfg Config, sink Sink) *Room {
	return &Room{
		id: id, epoch: epoch, cfg: cfg, sink: sink,
		byLink: map[Link]*member{}, byUser: map[string]*member{},
	}
}

// Len is how many members are in.
func (r *Room) Len() int { return len(r.members) }

// Epoch is the room's epoch.
func (r *Room) Epoch() uint64 { return r.epoch }

// Seq is the newest number of the ordered channel.
func (r *Room) Seq() uint64 { return r.seq }

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
		views[i] = View{Member: m.frame(), Link: m.link, Since: m.since}
	}
	return views
}

// States visits the state of every member, for a reader that has missed some.
func (r *Room) States() ([]frames.EntityState, []frames.EntityValues) {
	r.states, r.values = r.states[:0], r.values[:0]
	for _, m := range r.members {
		r.states = append(r.states, m.state)
		if len(m.values) > 0 {
			r.values = append(r.values, frames.EntityValues{Entity: m.state.Entity, Values: m.values})
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
			r.values = append(r.values, frames.EntityValues{Entity: m.state.Entity, Values: m.values})
		}
		m.dirty, m.valuesDirty = false, false
	}
	r.dirty = r.dirty[:0]
	r.sink.State(r.tick, r.states, r.values)
}

// StreamEnded removes all members who came by a stream.
func (r *Room) StreamEnded(now time.Time, stream uint64) {
	for _, m := range slices.Clone(r.members) {
		if m.link.Stream == stream {
			r.remove(now, m)
		}
	}
}

func (r *Room) markDirty(m *member) {
	if !m.dirty {
		m.dirty = true
		r.dirty = append(r.dirty, m)
	}
}

// publish numbers an event that all members see.
func (r *Room) publish(now time.Time, body frames.EventBody, except Link) {
	r.seq++
	r.sink.Event(r.event(now, body), except)
}

func (r *Room) event(now time.Time, body frames.EventBody) frames.Event {
	return frames.Event{LogPosition: frames.LogPosition{Epoch: r.epoch, Seq: r.seq}, TimeMS: uint64(now.UnixMilli()), Body: body}
}

func (m *member) frame() frames.Member {
	return frames.Member{User: m.user, State: m.state, Values: m.values}
}
