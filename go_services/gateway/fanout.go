package gateway

import (
	"context"
	"maps"
	"slices"

	flatbuffers "github.com/google/flatbuffers/go"
	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
	"github.com/worldmesh/worldmesh/go_services/gateway/socket"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

// fanOut writes what a relay delivers to the sockets that it is for: encoded once a dialect, without an allocation a
// socket. It also keeps the newest state of each entity, for sockets that have missed some.
type fanOut struct {
	metrics *metrics
	states  map[uint32]frames.EntityState
	values  map[uint32][]byte
	tick    uint64
	encode  *frames.Encoder
}

func newFanOut(m *metrics) fanOut {
	return fanOut{
		metrics: m, states: map[uint32]frames.EntityState{}, values: map[uint32][]byte{}, encode: frames.NewEncoder(),
	}
}

// encoded is a frame in each dialect that some socket has asked for.
type encoded struct {
	flat   []byte
	frames [dialect.Count][]byte
}

func (e *encoded) in(d dialect.Dialect) []byte {
	if e.frames[d] == nil {
		message := e.flat
		if d == dialect.JSON {
			var err error
			if message, err = dialect.ToJSON(e.flat); err != nil {
				return nil
			}
		}
		e.frames[d] = socket.Frame(d, message)
	}
	return e.frames[d]
}

// deliver hands one delivery to its audience.
func (a *attachment) deliver(ctx context.Context, d *roomv1.Delivery) {
	a.fan.learn(d)
	frame := encoded{flat: d.GetFrame()}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(d.GetFrame()) > 0 {
		a.audience(d, func(c *client) { a.fan.write(c, d.GetChannel(), &frame) })
	}
	if m := d.GetMembership(); m != nil {
		a.membership(ctx, m)
	}
}

func (a *attachment) audience(d *roomv1.Delivery, f func(*client)) {
	if links := d.GetLinks(); len(links) > 0 {
		for _, link := range links {
			if c := a.links[link]; c != nil {
				f(c)
			}
		}
		return
	}
	for link, c := range a.links {
		// Before its snapshot a member is not in; the relay sends to all of the stream.
		if c.isInside() && !slices.Contains(d.GetExceptLinks(), link) {
			f(c)
		}
	}
}

// membership passes on what became of a member.
func (a *attachment) membership(ctx context.Context, m *roomv1.Membership) {
	c := a.links[m.GetLink()]
	if c == nil {
		return
	}
	switch m.GetOutcome().(type) {
	case *roomv1.Membership_JoinedEntity:
		c.joined(ctx)
	case *roomv1.Membership_Refused:
		a.unlinkLocked(m.GetLink())
		c.refused(ctx)
	case *roomv1.Membership_Removed:
		a.unlinkLocked(m.GetLink())
		c.removed(ctx)
	}
}

func (f *fanOut) write(c *client, channel roomv1.Channel, frame *encoded) {
	if channel == roomv1.Channel_CHANNEL_STATE {
		if c.socket.Congested() {
			c.missed.Store(true)
			f.metrics.drops.WithLabelValues("state").Inc()
			return
		}
		if c.missed.Swap(false) {
			frame = f.whole()
		}
	}
	bytes := frame.in(c.socket.Dialect)
	if bytes == nil {
		return
	}
	f.metrics.delivered[c.socket.Dialect].Inc()
	if err := c.socket.Send(bytes); err != nil {
		c.sendFailed(err)
	}
}

// whole is the newest state of everything, for a socket that has missed some.
func (f *fanOut) whole() *encoded {
	states := slices.Collect(maps.Values(f.states))
	values := make([]frames.EntityValues, 0, len(f.values))
	for entity, v := range f.values {
		values = append(values, frames.EntityValues{Entity: entity, Values: v})
	}
	return &encoded{flat: slices.Clone(f.encode.StateBatch(f.tick, states, values))}
}

// learn keeps the newest state of each entity, and forgets those that left.
func (f *fanOut) learn(d *roomv1.Delivery) {
	if len(d.GetFrame()) == 0 {
		return
	}
	root := clientv1.GetRootAsServerFrame(d.GetFrame(), 0)
	var table flatbuffers.Table
	if !root.Body(&table) {
		return
	}
	switch root.BodyType() {
	case clientv1.ServerBodyStateBatch:
		var batch clientv1.StateBatch
		batch.Init(table.Bytes, table.Pos)
		f.learnStates(&batch)
	case clientv1.ServerBodyRoomEvent:
		var event clientv1.RoomEvent
		event.Init(table.Bytes, table.Pos)
		var body flatbuffers.Table
		if event.BodyType() == clientv1.EventBodyMemberLeft && event.Body(&body) {
			var left clientv1.MemberLeft
			left.Init(body.Bytes, body.Pos)
			delete(f.states, left.Entity())
			delete(f.values, left.Entity())
		}
	}
}

func (f *fanOut) learnStates(batch *clientv1.StateBatch) {
	f.tick = batch.Tick()
	var s clientv1.EntityState
	var p clientv1.Vec3
	for i := range batch.StatesLength() {
		batch.States(&s, i)
		s.Position(&p)
		f.states[s.Entity()] = frames.EntityState{
			Entity: s.Entity(), Position: frames.Vec3{X: p.X(), Y: p.Y(), Z: p.Z()}, Yaw: s.Yaw(), Animation: s.Animation(),
		}
	}
	var v clientv1.EntityValues
	for i := range batch.ValuesLength() {
		batch.Values(&v, i)
		f.values[v.Entity()] = append(f.values[v.Entity()][:0], v.ValuesBytes()...)
	}
}
