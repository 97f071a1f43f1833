package gateway

import (
	"context"
	"maps"
	"slices"
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
// allocation a socket. It also keeps the newest state of each entity, for sockets that have missed some. The
// attachment's lock guards it.
type fanOut struct {
	metrics *metrics
	frame   outgoing
	json    []byte

	tick   uint64
	states map[uint32]frames.EntityState
	values map[uint32][]byte
	encode *frames.Encoder
}

func newFanOut(m *metrics) fanOut {
	return fanOut{
		metrics: m, states: map[uint32]frames.EntityState{}, values: map[uint32][]byte{}, encode: frames.NewEncoder(),
	}
}

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
	if frame := d.GetFrame(); len(frame) > 0 {
		kind := a.fan.learn(frame)
		if kind == clientv1.ServerBodyStateBatch {
			a.pace.ticked(time.Now())
		}
		a.fan.frame.set(frame)
		a.fan.metrics.sent[kind].Add(float64(a.writeAll(d)))
	}
	if m != nil {
		a.admit(m, d.GetMembership())
	}
}

// writeAll writes the fan-out's frame to its audience, and says to how many.
func (a *attachment) writeAll(d *roomv1.Delivery) (written int) {
	state := d.GetChannel() == roomv1.Channel_CHANNEL_STATE
	if links := d.GetLinks(); len(links) > 0 {
		for _, link := range links {
			if m := a.links[link]; m != nil && a.fan.write(m, state) {
				written++
			}
		}
		return written
	}
	// Before its snapshot a member is not inside; the relay sends to all of the stream.
	for _, m := range a.inside {
		if a.fan.write(m, state) {
			written++
		}
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

// write sends the frame to one member. State is not queued for one that does not keep up: it gets the newest of
// everything when it does again.
func (f *fanOut) write(m *member, state bool) bool {
	if state && m.socket.Congested() {
		m.missed = true
		f.metrics.stateDrops.Inc()
		return false
	}
	if state && m.missed {
		return f.writeWhole(m)
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

// catchUp sends a member the newest state of everything, if it missed some.
func (a *attachment) catchUp(link uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if m := a.links[link]; m != nil && m.missed && !m.socket.Congested() && a.fan.writeWhole(m) {
		a.fan.metrics.sent[clientv1.ServerBodyStateBatch].Inc()
	}
}

func (f *fanOut) writeWhole(m *member) bool {
	m.missed = false
	var whole outgoing
	whole.set(f.whole())
	if err := m.socket.Send(f.in(&whole, m.socket.Dialect)); err != nil {
		m.client.sendFailed(err)
		return false
	}
	return true
}

// whole is the newest state of everything that has moved since the attachment was made; what has not, a member knows
// from its snapshot.
func (f *fanOut) whole() []byte {
	states := slices.Collect(maps.Values(f.states))
	values := make([]frames.EntityValues, 0, len(f.values))
	for entity, v := range f.values {
		values = append(values, frames.EntityValues{Entity: entity, Values: v})
	}
	return f.encode.StateBatch(f.tick, states, values)
}

// stateOf is the newest state of an entity that the room has told of; nil if it has told none.
func (f *fanOut) stateOf(entity uint32) *roomv1.Input_State {
	s, moved := f.states[entity]
	if !moved {
		return nil
	}
	return &roomv1.Input_State{
		Position: &commonv1.Position{X: s.Position.X, Y: s.Position.Y, Z: s.Position.Z},
		Yaw:      uint32(s.Yaw), Animation: uint32(s.Animation), Values: f.values[entity],
	}
}

// learn keeps the newest state of each entity, forgets those that left, and says what kind of frame it is.
func (f *fanOut) learn(frame []byte) clientv1.ServerBody {
	root := clientv1.GetRootAsServerFrame(frame, 0)
	var table flatbuffers.Table
	if !root.Body(&table) {
		return clientv1.ServerBodyNONE
	}
	kind := root.BodyType()
	switch kind {
	case clientv1.ServerBodyStateBatch:
		var batch clientv1.StateBatch
		batch.Init(table.Bytes, table.Pos)
		f.learnStates(&batch)
	case clientv1.ServerBodySnapshot:
		var snapshot clientv1.Snapshot
		snapshot.Init(table.Bytes, table.Pos)
		f.learnSnapshot(&snapshot)
	case clientv1.ServerBodyRoomEvent:
		var event clientv1.RoomEvent
		event.Init(table.Bytes, table.Pos)
		f.forgetLeft(&event)
	}
	if int(kind) >= len(f.metrics.sent) {
		return clientv1.ServerBodyNONE
	}
	return kind
}

// learnSnapshot keeps where the one is who receives it, for it may stand still from now on; with a gap, where everybody is.
func (f *fanOut) learnSnapshot(snapshot *clientv1.Snapshot) {
	if snapshot.Gap() {
		clear(f.states)
		clear(f.values)
	}
	var m clientv1.Member
	var s clientv1.EntityState
	for i := range snapshot.MembersLength() {
		snapshot.Members(&m, i)
		if m.State(&s) == nil || s.Entity() != snapshot.SelfEntity() && !snapshot.Gap() {
			continue
		}
		f.learnState(&s)
		if m.ValuesLength() > 0 {
			f.values[s.Entity()] = append(f.values[s.Entity()][:0], m.ValuesBytes()...)
		}
	}
}

func (f *fanOut) learnState(s *clientv1.EntityState) {
	var p clientv1.Vec3
	s.Position(&p)
	f.states[s.Entity()] = frames.EntityState{
		Entity: s.Entity(), Position: frames.Vec3{X: p.X(), Y: p.Y(), Z: p.Z()}, Yaw: s.Yaw(), Animation: s.Animation(),
	}
}

func (f *fanOut) learnStates(batch *clientv1.StateBatch) {
	f.tick = batch.Tick()
	var s clientv1.EntityState
	for i := range batch.StatesLength() {
		batch.States(&s, i)
		f.learnState(&s)
	}
	var v clientv1.EntityValues
	for i := range batch.ValuesLength() {
		batch.Values(&v, i)
		f.values[v.Entity()] = append(f.values[v.Entity()][:0], v.ValuesBytes()...)
	}
}

func (f *fanOut) forgetLeft(event *clientv1.RoomEvent) {
	var body flatbuffers.Table
	if event.BodyType() != clientv1.EventBodyMemberLeft || !event.Body(&body) {
		return
	}
	var left clientv1.MemberLeft
	left.Init(body.Bytes, body.Pos)
	delete(f.states, left.Entity())
	delete(f.values, left.Entity())
}
