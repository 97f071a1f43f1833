package gateway

import (
	"context"
	"time"

	flatbuffers "github.com/google/flatbuffers/go"
	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
	"github.com/worldmesh/worldmesh/go_services/gateway/socket"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

// fanOut writes what a relay delivers to the sockets that it is for: put into each dialect once, without an
// allocation a socket. It also keeps what the room says of the members' own entities, for the relay that has the room
// next knows it from here. The attachment's lock guards it.
type fanOut struct {
	metrics *metrics
	frame   outgoing
	json    []byte

	tick uint64
	own  map[uint32]*ownState // by entity
}

// ownState is the newest state of a member's entity.
type ownState struct {
	told   bool // the room has told of it
	state  frames.EntityState
	values []byte
}

func newFanOut(m *metrics) fanOut { return fanOut{metrics: m, own: map[uint32]*ownState{}} }

// outgoing is a frame as it goes over the wire in each dialect that some socket has asked for; the buffers are used
// again for the next.
type outgoing struct {
	flat  []byte
	wire  [dialect.Count][]byte
	ready [dialect.Count]bool
}

func (o *outgoing) set(flat []byte) {
	o.flat = flat
	clear(o.ready[:])
}

// in is the frame for sockets of a dialect; empty if the relay sent what can't be transcoded.
func (f *fanOut) in(o *outgoing, d dialect.Dialect) []byte {
	if o.ready[d] {
		return o.wire[d]
	}
	o.ready[d] = true
	o.wire[d] = o.wire[d][:0]
	message := o.flat
	if d == dialect.JSON {
		var err error
		if f.json, err = dialect.AppendJSON(f.json[:0], o.flat); err != nil {
			f.metrics.drops.WithLabelValues("broken").Inc()
			return nil
		}
		message = f.json
	}
	o.wire[d] = socket.AppendFrame(o.wire[d], d, message)
	return o.wire[d]
}

// deliver hands one delivery to its audience. A member's session hears first what became of it: the client may act on
// the frame at once.
func (a *attachment) deliver(ctx context.Context, d *roomv1.Delivery) {
	if number := d.GetAnswered(); number != 0 {
		a.inputs.answered(number)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.members.Accept(d) {
		return
	}
	m := a.links[d.GetMembership().GetLink()]
	if m != nil {
		m.client.became(ctx, m, d.GetMembership())
	}
	if m != nil {
		a.owns(m)
	}
	if frame := d.GetFrame(); len(frame) > 0 {
		kind, news := a.fan.learn(frame)
		if news.tick {
			a.pace.ticked(time.Now())
		}
		a.fan.frame.set(frame)
		a.fan.metrics.sent[kind].Add(float64(a.writeAll(d)))
		a.readOn(d.GetLinks(), news)
	}
	if m != nil {
		a.admit(m, d.GetMembership())
	}
}

// owns has the fan-out keep the state of a member's entity.
func (a *attachment) owns(m *member) {
	if a.fan.own[m.Entity] == nil && m.Entity != 0 {
		a.fan.own[m.Entity] = &ownState{}
	}
}

// writeAll writes the fan-out's frame to its audience, and says to how many.
func (a *attachment) writeAll(d *roomv1.Delivery) (written int) {
	state := d.GetChannel() == roomv1.Channel_CHANNEL_STATE
	if links := d.GetLinks(); len(links) > 0 {
		for _, link := range links {
			if m := a.links[link]; m != nil && a.write(m, state) {
				written++
			}
		}
		return written
	}
	// Before its snapshot a member is not inside; the relay sends to all of the stream.
	for _, m := range a.inside {
		if a.write(m, state) {
			written++
		}
	}
	return written
}

func (a *attachment) write(m *member, state bool) bool {
	written := a.fan.write(m, state)
	if m.missed {
		a.catchUpLocked(m)
	}
	return written
}

// admit lets a member hear what the room says to all, or no longer hear anything.
func (a *attachment) admit(m *member, what *roomv1.Membership) {
	if _, in := what.GetOutcome().(*roomv1.Membership_JoinedEntity); !in {
		a.unlinkLocked(m.Link)
		return
	}
	if m.index < 0 {
		m.index = len(a.inside)
		a.inside = append(a.inside, m)
	}
}

// write sends the frame to one member. State is not queued for one that does not keep up: when it does again, the room is
// asked for the newest of all that it sees.
func (f *fanOut) write(m *member, state bool) bool {
	if state && m.socket.Congested() {
		m.missed = true
		f.metrics.stateDrops.Inc()
		return false
	}
	wire := f.in(&f.frame, m.socket.Dialect)
	if len(wire) == 0 {
		return false
	}
	if err := m.socket.Send(wire); err != nil {
		m.client.sendFailed(err)
		return false
	}
	return true
}

// readOn has members get the next part of a roster, of which the frame was a part or the announcement: when their
// sockets have taken it.
func (a *attachment) readOn(links []uint32, n news) {
	if !n.roster {
		return
	}
	for _, link := range links {
		if m := a.links[link]; m != nil {
			m.unread, m.asks, m.after = !n.last, n.after != 0 && !n.last, n.after
			a.catchUpLocked(m)
		}
	}
}

// catchUp asks the room for what a member's socket had no room for.
func (a *attachment) catchUp(link uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if m := a.links[link]; m != nil {
		a.catchUpLocked(m)
	}
}

func (a *attachment) catchUpLocked(m *member) {
	if (m.missed || m.asks) && !m.socket.Congested() && a.inputs.put(lookInput(m, m.missed, m.asks)) {
		m.missed, m.asks = false, false
	}
}

// stateOf is the newest state of a member's entity that the room has told of; nil if it has told none.
func (f *fanOut) stateOf(entity uint32) *roomv1.Input_State {
	own := f.own[entity]
	if own == nil || !own.told {
		return nil
	}
	s := own.state
	return &roomv1.Input_State{
		Position: &commonv1.Position{X: s.Position.X, Y: s.Position.Y, Z: s.Position.Z},
		Yaw:      uint32(s.Yaw), Animation: uint32(s.Animation), Values: own.values,
	}
}

// news is what a frame says to the gateway itself.
type news struct {
	tick   bool   // it is the first of a tick
	roster bool   // a roster is on its way, or this is a part of it
	last   bool   // the roster ends here
	after  uint32 // the entity of its last member
}

// learn keeps the newest state of members' own entities, and says what kind of frame it is.
func (f *fanOut) learn(frame []byte) (clientv1.ServerBody, news) {
	root := clientv1.GetRootAsServerFrame(frame, 0)
	var table flatbuffers.Table
	if !root.Body(&table) {
		return clientv1.ServerBodyNONE, news{}
	}
	kind, n := root.BodyType(), news{}
	switch kind {
	case clientv1.ServerBodyStateBatch:
		var batch clientv1.StateBatch
		batch.Init(table.Bytes, table.Pos)
		n.tick = f.learnStates(&batch)
	case clientv1.ServerBodySnapshot:
		var snapshot clientv1.Snapshot
		snapshot.Init(table.Bytes, table.Pos)
		f.learnSnapshot(&snapshot)
		n.roster = snapshot.ViewRadius() > 0
	case clientv1.ServerBodyRoster:
		var roster clientv1.Roster
		roster.Init(table.Bytes, table.Pos)
		n.roster, n.last, n.after = true, roster.Last(), lastOf(&roster)
	}
	if int(kind) >= len(f.metrics.sent) {
		return clientv1.ServerBodyNONE, n
	}
	return kind, n
}

func lastOf(roster *clientv1.Roster) uint32 {
	var m clientv1.Member
	var s clientv1.EntityState
	if n := roster.MembersLength(); n == 0 || !roster.Members(&m, n-1) || m.State(&s) == nil {
		return 0
	}
	return s.Entity()
}

// learnSnapshot keeps where the one is who receives it, for it may stand still from now on.
func (f *fanOut) learnSnapshot(snapshot *clientv1.Snapshot) {
	own := f.own[snapshot.SelfEntity()]
	if own == nil {
		return
	}
	var m clientv1.Member
	var s clientv1.EntityState
	for i := range snapshot.MembersLength() {
		snapshot.Members(&m, i)
		if m.State(&s) != nil && s.Entity() == snapshot.SelfEntity() {
			own.learn(&s)
			own.values = append(own.values[:0], m.ValuesBytes()...)
		}
	}
}

func (o *ownState) learn(s *clientv1.EntityState) {
	var p clientv1.Vec3
	s.Position(&p)
	o.told, o.state = true, frames.EntityState{
		Entity: s.Entity(), Position: frames.Vec3{X: p.X(), Y: p.Y(), Z: p.Z()}, Yaw: s.Yaw(), Animation: s.Animation(),
	}
}

// learnStates says whether the batch is the first of its tick.
func (f *fanOut) learnStates(batch *clientv1.StateBatch) (first bool) {
	first = f.tick != batch.Tick()
	f.tick = batch.Tick()
	var s clientv1.EntityState
	for i := range batch.StatesLength() {
		batch.States(&s, i)
		if own := f.own[s.Entity()]; own != nil {
			own.learn(&s)
		}
	}
	var v clientv1.EntityValues
	for i := range batch.ValuesLength() {
		batch.Values(&v, i)
		if own := f.own[v.Entity()]; own != nil {
			own.values = append(own.values[:0], v.ValuesBytes()...)
		}
	}
	return first
}
