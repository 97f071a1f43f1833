package room

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	flatbuffers "github.com/google/flatbuffers/go"
	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

// onlooker is a client as the contract has it: it takes what it is sent, and knows who is in and who is in sight.
type onlooker struct {
	user    string
	session string
	link    Link
	away    bool // its gateway has lost the room
	in      bool // its client has had a snapshot by this link
	self    uint32
	names   map[uint32]string
	sight   map[uint32]frames.EntityState
	values  map[uint32]string
	blind   bool              // has missed a frame, and has not seen anew
	wrong   map[uint32]uint64 // by entity that is near and is not seen as it is: since which tick
	ghosts  map[uint32]uint64 // by entity that is seen and is far: since which tick
	frames  int               // of this tick
	seen    frames.LogPosition
}

func (o *onlooker) snapshot(s frames.Snapshot) {
	o.in, o.self, o.blind, o.seen = true, s.SelfEntity, false, s.LogPosition
	o.sight, o.values = map[uint32]frames.EntityState{}, map[uint32]string{}
	o.wrong, o.ghosts = map[uint32]uint64{}, map[uint32]uint64{}
	if o.names == nil || !s.Resumed || s.Gap {
		o.names = map[uint32]string{}
	}
	for _, m := range s.Members {
		o.names[m.State.Entity] = m.User.ID
		if s.ViewRadius == 0 || m.State.Entity == s.SelfEntity {
			o.sight[m.State.Entity], o.values[m.State.Entity] = m.State, string(m.Values)
		}
	}
}

func (o *onlooker) see(b frames.StateBatch) {
	o.frames++
	if b.Anew {
		o.blind = false
		o.sight, o.values = map[uint32]frames.EntityState{}, map[uint32]string{}
		o.wrong, o.ghosts = map[uint32]uint64{}, map[uint32]uint64{}
	}
	for _, e := range b.Gone {
		delete(o.sight, e)
	}
	for _, s := range b.States {
		o.sight[s.Entity] = s
	}
	for _, v := range b.Values {
		o.values[v.Entity] = string(v.Values)
	}
}

// crowd is a room and all who look at it. It is the room's sink.
type crowd struct {
	t      *testing.T
	seed   uint64
	random *rand.Rand
	room   *Room
	cfg    Config
	now    time.Time
	people []*onlooker
	byLink map[Link]*onlooker
	lags   map[uint64]bool
	served map[uint64]uint64 // the tick in which a stream last did not lag
	later  []func()          // what comes back in a while
	looks  []func()          // what gateways ask for after the tick
	ids    uint32
	wasAt  map[uint32]*cell
	moved  map[uint32]uint64 // the tick in which an entity last changed its cell
}

func (c *crowd) fail(format string, args ...any) {
	c.t.Helper()
	c.t.Fatalf("seed %d, tick %d: %s", c.seed, c.room.tick, fmt.Sprintf(format, args...))
}

func (c *crowd) Joined(to Link, _ In, s frames.Snapshot)        { c.byLink[to].snapshot(s) }
func (c *crowd) Refused(Link, In, commonv1.ErrorReason, string) {}
func (c *crowd) Removed(to Link, _ In, _ commonv1.ErrorReason)  { c.away(to) }
func (c *crowd) Again(e *Entry, stream uint64)                  { c.tell(e, stream) }
func (c *crowd) Told(e *Entry, to ...Link) {
	for _, link := range to {
		c.byLink[link].hear(e)
	}
}
func (c *crowd) Done(Link, In)                                         {}
func (c *crowd) Failed(_ Link, _ In, _ commonv1.ErrorReason, _ string) {}
func (c *crowd) Corrected(Link, frames.EntityState)                    {}
func (c *crowd) Behind(stream uint64) bool                             { return c.lags[stream] }
func (c *crowd) Event(e *Entry)                                        { c.tell(e, 0) }

func (c *crowd) away(link Link) {
	if o := c.byLink[link]; o != nil && o.link == link {
		o.in, o.link = false, Link{}
	}
	delete(c.byLink, link)
}

func (c *crowd) tell(e *Entry, stream uint64) {
	for _, o := range c.people {
		if o.in && (stream == 0 || o.link.Stream == stream) {
			o.hear(e)
		}
	}
}

func (o *onlooker) hear(e *Entry) {
	o.seen = e.LogPosition
	var body, table flatbuffers.Table
	clientv1.GetRootAsServerFrame(e.Frame, 0).Body(&body)
	var event clientv1.RoomEvent
	event.Init(body.Bytes, body.Pos)
	event.Body(&table)
	switch event.BodyType() {
	case clientv1.EventBodyMemberJoined:
		var m clientv1.MemberJoined
		m.Init(table.Bytes, table.Pos)
		state := m.Member(nil).State(nil)
		o.names[state.Entity()] = string(m.Member(nil).User(nil).UserId())
		if _, in := o.sight[state.Entity()]; !in && !m.OutOfSight() {
			p := state.Position(nil)
			o.sight[state.Entity()] = frames.EntityState{
				Entity: state.Entity(), Position: frames.Vec3{X: p.X(), Y: p.Y(), Z: p.Z()}, Yaw: state.Yaw(), Animation: state.Animation(),
			}
		}
	case clientv1.EventBodyMemberLeft:
		var m clientv1.MemberLeft
		m.Init(table.Bytes, table.Pos)
		delete(o.names, m.Entity())
		delete(o.sight, m.Entity())
	}
}

func (c *crowd) State(b frames.StateBatch) {
	for _, o := range c.people {
		if o.in {
			c.take(o, b)
		}
	}
}

// take has a client see what it is sent, or have no room for it: then its gateway asks for all anew when it has.
func (c *crowd) take(o *onlooker, b frames.StateBatch) {
	if c.random.IntN(40) > 0 {
		o.see(b)
		return
	}
	link := o.link
	o.blind = true
	c.looks = append(c.looks, func() { c.room.Look(link, true, false, 0) })
}

func (c *crowd) View(stream uint64, links []uint32, b frames.StateBatch) {
	bytes := 0
	for range b.States {
		bytes += stateBytes
	}
	for _, v := range b.Values {
		bytes += valueBytes + len(v.Values)
	}
	if c.room.grid != nil && bytes > c.cfg.Grid.FrameBytes || len(b.Gone) > c.cfg.Grid.GoneAtOnce && c.room.grid != nil {
		c.fail("a frame of %d bytes, %d gone", bytes, len(b.Gone))
	}
	if c.lags[stream] && c.room.grid != nil {
		c.fail("stream %d is shown something though it lags", stream)
	}
	for _, id := range links {
		link := Link{Stream: stream, ID: id}
		o := c.byLink[link]
		if o == nil || !o.in {
			c.fail("%v is shown something, and is not in", link)
		}
		if c.room.grid == nil {
			o.blind = false // it is all
		}
		c.take(o, b)
	}
}

func (c *crowd) Roster(stream uint64, links []uint32, roster frames.Roster) {
	if len(roster.Members) > c.cfg.Grid.RosterMembers {
		c.fail("%d members in a part of the roster", len(roster.Members))
	}
	for _, id := range links {
		link := Link{Stream: stream, ID: id}
		o := c.byLink[link]
		var last uint32
		for _, m := range roster.Members {
			o.names[m.State.Entity], last = m.User.ID, m.State.Entity
		}
		if !roster.Last {
			c.looks = append(c.looks, func() { c.room.Look(link, false, true, last) })
		}
	}
}

// bytesAround is what all whom a member sees may need in a frame.
func (c *crowd) bytesAround(m *member) (bytes int) {
	for _, other := range c.room.shown {
		if other.cell != nil && sees(m.cell, other.cell) {
			bytes += stateBytes + valueBytes + len(other.values)
		}
	}
	return bytes
}

func away(a, b frames.Vec3) float64 {
	return max(math.Abs(float64(a.X-b.X)), math.Abs(float64(a.Z-b.Z)))
}

// check compares what everybody sees with where everybody is.
func (c *crowd) check() {
	g := c.cfg.Grid
	for _, m := range c.room.shown {
		if m.cell != c.wasAt[m.Entity] {
			c.wasAt[m.Entity], c.moved[m.Entity] = m.cell, c.room.tick
		}
	}
	for _, o := range c.people {
		m := c.room.byLink[o.link]
		if m == nil || !o.in || m.link != o.link {
			continue
		}
		if c.lags[o.link.Stream] && c.room.grid != nil || o.blind {
			o.wrong, o.ghosts = map[uint32]uint64{}, map[uint32]uint64{}
			continue
		}
		near, all := float64(g.Radius()), float64(2*g.Cell-2*g.Margin)
		crowded, laps := false, 0
		if c.room.grid == nil {
			near, all = math.Inf(1), math.Inf(1)
		} else if bytes := c.bytesAround(m); bytes > g.NearBytes {
			crowded, laps = true, 3*(bytes/(g.NearBytes-300)+2)
		}
		for _, other := range c.room.shown {
			distance := away(m.state.Position, other.state.Position)
			if !other.placed || distance > all {
				delete(o.wrong, other.Entity)
				continue
			}
			seen, in := o.sight[other.Entity]
			// Values are lost with their relay if their member comes back by another gateway; clients keep what they have.
			if in && seen == other.state && (len(other.values) == 0 || o.values[other.Entity] == string(other.values)) {
				delete(o.wrong, other.Entity)
				continue
			}
			bound := laps
			if distance > near {
				bound = (laps + 2) * int(g.FarTicks) // who comes to another audience may have to wait for its round, too
			}
			since, known := o.wrong[other.Entity]
			if !known || crowded && (c.moved[m.Entity] > since || c.moved[other.Entity] > since) {
				since = c.room.tick
			}
			o.wrong[other.Entity] = since
			if late := int(c.room.tick - since); late > bound || bound == 0 {
				c.fail("%s at %v sees %d as %v %q (%t), for %d ticks, but it is %v %q", o.user, m.state, other.Entity,
					seen, o.values[other.Entity], in, late, other.state, other.values)
			}
		}
		if c.room.grid == nil {
			o.ghosts = map[uint32]uint64{}
			continue
		}
		for entity, seen := range o.sight {
			i, there := slices.BinarySearchFunc(c.room.shown, entity, byEntity)
			if !there {
				c.fail("%s sees %d, who is not in", o.user, entity)
			}
			e := c.room.shown[i]
			if away(m.state.Position, e.state.Position) <= float64(3*g.Cell+2*g.Margin) {
				delete(o.ghosts, entity)
				continue
			}
			since, known := o.ghosts[entity]
			if !known {
				since = c.room.tick
			}
			o.ghosts[entity] = since
			bound := (c.cfg.Capacity + goneFrames*g.GoneAtOnce) / g.GoneAtOnce
			if g.GoneAtOnce > c.cfg.Capacity { // all are told at once
				bound = 0
			}
			if late := int(c.room.tick - since); late > bound || bound == 0 {
				c.fail("%s at %v still sees %d, who is at %v (as %v)", o.user, m.state, entity, e.state, seen)
			}
		}
	}
}

func (c *crowd) in() In {
	c.ids++
	return In{RID: 1, Number: uint64(c.ids)}
}

func (c *crowd) somewhere(from frames.Vec3) frames.Vec3 {
	p := frames.Vec3{X: c.random.Float32() * c.cfg.Width, Z: c.random.Float32() * c.cfg.Depth}
	if c.random.IntN(20) > 0 { // a step, rather than a jump
		p.X = min(max(from.X+(c.random.Float32()-0.5)*4, 0), c.cfg.Width)
		p.Z = min(max(from.Z+(c.random.Float32()-0.5)*4, 0), c.cfg.Depth)
	}
	return p
}

func (c *crowd) join(o *onlooker, resume bool) {
	c.ids++
	o.in, o.link = false, Link{Stream: 1 + c.random.Uint64N(3), ID: c.ids}
	o.session = fmt.Sprint(o.user, c.ids)
	c.byLink[o.link] = o
	join := Join{User: frames.User{ID: o.user}, Session: o.session}
	if resume && o.names != nil {
		seen := o.seen
		join.Resume = &seen
	}
	c.room.Join(c.now, o.link, c.in(), join)
}

// reattach has a gateway's stream be lost, with or without its relay, and its members come back by another after a while.
func (c *crowd) reattach(stream uint64, old *Room) {
	seen := old.released
	var rejoins []Rejoin
	var back []*onlooker
	for _, o := range c.people {
		if m := old.byLink[o.link]; m != nil && o.in && o.link.Stream == stream {
			state := m.state
			if c.random.IntN(3) == 0 {
				state.Position = c.somewhere(state.Position)
			}
			rejoins = append(rejoins, Rejoin{
				Link: o.link.ID, Join: Join{User: frames.User{ID: o.user}, Session: o.session}, State: &state, Values: m.values,
			})
			back = append(back, o)
		}
	}
	for link := range c.byLink { // who was on the way in comes no further
		if link.Stream == stream {
			c.away(link)
		}
	}
	for _, o := range back {
		o.away = true
	}
	c.later = append(c.later, func() {
		c.ids++
		next := uint64(c.ids) + 1000
		for i, o := range back {
			o.link, o.in, o.away = Link{Stream: next, ID: rejoins[i].Link}, true, false
			o.blind = true // until it has seen all anew
			c.byLink[o.link] = o
			link := o.link // the gateway asks for the rest of the roster
			c.looks = append(c.looks, func() { c.room.Look(link, false, true, 0) })
		}
		c.room.Attached(next, &seen, rejoins)
	})
}

// lose has the relay be lost, and another take the room.
func (c *crowd) lose() {
	old := c.room
	past := old.Past()
	past.Epoch++
	c.room = New("room_test", c.cfg, c, c.now, past)
	streams := map[uint64]bool{}
	for _, o := range c.people {
		if o.link != (Link{}) {
			streams[o.link.Stream] = true
		}
	}
	for _, stream := range slices.Sorted(maps.Keys(streams)) {
		c.reattach(stream, old)
	}
	clear(c.byLink)
	c.looks = nil
}

func (c *crowd) step() {
	c.now = c.now.Add(50 * time.Millisecond)
	o := c.people[c.random.IntN(len(c.people))]
	switch action := c.random.IntN(100); {
	case action < 3:
		if o.in && c.random.IntN(2) == 0 {
			c.room.Leave(c.now, o.link, c.in(), o.session)
		}
	case action < 14:
		if !o.in && !o.away {
			c.join(o, c.random.IntN(2) == 0)
		}
	case action < 16:
		if o.in && c.random.IntN(4) == 0 { // its socket is lost, and it comes back by another
			link := o.link
			c.away(link)
			c.room.Detach(c.now, link, c.in(), o.session)
			if c.random.IntN(2) == 0 {
				c.join(o, c.random.IntN(2) == 0)
			}
		}
	case action < 17:
		if o.in && c.random.IntN(4) == 0 {
			stream := o.link.Stream
			c.reattach(stream, c.room)
			c.room.StreamEnded(c.now, stream)
		} else if c.random.IntN(100) == 0 {
			c.log()
			c.lose()
		}
	case action < 18:
		stream := 1 + c.random.Uint64N(3)
		c.lags[stream] = !c.lags[stream]
	case action < 22:
		c.comeBack()
	case action < 60:
		if m := c.room.byLink[o.link]; m != nil {
			move := Move{Position: c.somewhere(m.state.Position), Yaw: uint16(c.random.IntN(10))}
			if c.random.IntN(5) == 0 {
				move.Values = []byte(fmt.Sprint(c.random.IntN(1000)))
			}
			c.room.Move(c.now, o.link, In{}, move)
		}
	}
}

// comeBack has one of the lost streams be replaced.
func (c *crowd) comeBack() {
	if len(c.later) > 0 {
		back := c.later[0]
		c.later = c.later[1:]
		back()
	}
}

func (c *crowd) log() {
	for entries := c.room.TakeUnlogged(); len(entries) > 0; entries = c.room.TakeUnlogged() {
		c.room.Logged(len(entries))
	}
}

func (c *crowd) tick() {
	for _, o := range c.people {
		o.frames = 0
	}
	c.room.Tick()
	for _, o := range c.people {
		if o.frames > 2 {
			c.fail("%s got %d frames", o.user, o.frames)
		}
	}
}

// ask has gateways ask for what their members could not take.
func (c *crowd) ask() {
	looks := c.looks
	c.looks = nil
	for _, look := range looks {
		look()
	}
}

func newCrowd(t *testing.T, seed uint64) *crowd {
	random := rand.New(rand.NewPCG(seed, 1))
	from := 3 + random.IntN(12)
	side := 5 + random.Float32()*15
	frameBytes := 600 + random.IntN(2400)
	c := &crowd{
		t: t, seed: seed, random: random, byLink: map[Link]*onlooker{}, lags: map[uint64]bool{}, now: time.UnixMilli(0),
		wasAt: map[uint32]*cell{}, moved: map[uint32]uint64{},
	}
	c.cfg = Config{
		Capacity: 60, Width: 20 + random.Float32()*100, Depth: 20 + random.Float32()*60, TickHz: 20, MaxSpeed: 1e6,
		Hold: time.Minute, Grid: Grid{
			From: from, Until: from - random.IntN(3), Cell: side, Margin: random.Float32() * side / 4, FarTicks: 1 + random.Uint64N(5),
			FrameBytes: frameBytes, NearBytes: frameBytes - 300 + random.IntN(100),
			GoneAtOnce: []int{1, 3, 8, 256}[random.IntN(4)], RosterMembers: 1 + random.IntN(10),
		},
	}
	c.cfg.Spawn = frames.Vec3{X: c.cfg.Width / 2, Z: c.cfg.Depth / 2}
	c.room = New("room_test", c.cfg, c, c.now, Past{Epoch: 1, Complete: true})
	for i := range 5 + random.IntN(50) {
		c.people = append(c.people, &onlooker{user: fmt.Sprintf("usr_%d", i)})
	}
	return c
}

func TestNobodyNearIsMissingAndNobodyFarIsShown(t *testing.T) {
	for seed := range uint64(100) {
		c := newCrowd(t, seed)
		for range 400 {
			for range c.random.IntN(12) {
				c.step()
				if c.random.IntN(3) > 0 {
					c.log()
				}
			}
			c.log()
			if c.room.Dirty() {
				c.tick()
			}
			c.check()
			c.ask()
		}
		c.settle()
	}
}

// settle has nobody do anything: in the end everybody sees all that is in sight as it is, knows all who are in, and the room
// is quiet.
func (c *crowd) settle() {
	clear(c.lags)
	for len(c.later) > 0 {
		c.comeBack()
	}
	c.log()
	c.ask()
	for i := 0; c.room.Dirty(); i++ {
		if i > 2000 {
			c.fail("the room finds no rest")
		}
		c.tick()
		c.ask()
	}
	c.check()
	for _, o := range c.people {
		m := c.room.byLink[o.link]
		if m == nil || !o.in {
			continue
		}
		want := map[uint32]string{}
		for _, other := range c.room.shown {
			want[other.Entity] = other.User.ID
			seen, in := o.sight[other.Entity]
			if !other.placed { // its gateway does not come back
				continue
			}
			if visible := c.room.grid == nil || sees(m.cell, other.cell); in != visible || in && seen != other.state {
				c.fail("in the end %s sees %d as %v (%t), but it is %v (%t)", o.user, other.Entity, seen, in, other.state, visible)
			}
		}
		if !maps.Equal(o.names, want) {
			c.fail("in the end %s knows %v, but there are %v", o.user, o.names, want)
		}
	}
}
