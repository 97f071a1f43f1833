package gateway

import (
	"context"
	"errors"
	"slices"
	"time"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/worldmesh/worldmesh/clients/go/statebatch"
	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
	"github.com/worldmesh/worldmesh/go_services/gateway/roomlink"
	"github.com/worldmesh/worldmesh/go_services/gateway/socket"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

// maxHeld bounds how many frames wait for company.
const maxHeld = 64

// newsPause is the least time between two writes that only tell who has come or gone.
const newsPause = 250 * time.Millisecond

// fanOut writes what a relay delivers to the sockets that it is for: put into each dialect once, without an
// allocation a socket. It also keeps what the room says of the members' own entities, for the relay that has the room
// next knows it from here. The attachment's lock guards it.
type fanOut struct {
	metrics *metrics
	all     outgoing // for all who are inside, and not yet written
	one     outgoing // for single members
	json    []byte

	tick uint64
	// batch is the one that was read last.
	batch frames.StateBatch
	own   roomlink.Own
}

func newFanOut(m *metrics) fanOut { return fanOut{metrics: m, own: roomlink.Own{}} }

// outgoing is frames, one after another, as they go over the wire in each dialect that some socket has asked for; the
// buffers are used again.
type outgoing struct {
	flat [][]byte
	wire [dialect.Count][]byte
	ends [dialect.Count][]int // of each frame in wire
}

func (o *outgoing) add(flat []byte) { o.flat = append(o.flat, flat) }

func (o *outgoing) clear() {
	clear(o.flat)
	o.flat = o.flat[:0]
	for d := range o.wire {
		o.wire[d], o.ends[d] = o.wire[d][:0], o.ends[d][:0]
	}
}

// in is some of the frames for sockets of a dialect. What can't be transcoded is left out.
func (f *fanOut) in(o *outgoing, d dialect.Dialect, from, to int) []byte {
	for n := len(o.ends[d]); n < to; n++ {
		if message, ok := f.message(d, o.flat[n]); ok {
			o.wire[d] = socket.AppendFrame(o.wire[d], d, message)
		}
		o.ends[d] = append(o.ends[d], len(o.wire[d]))
	}
	start, end := 0, 0
	if from > 0 {
		start = o.ends[d][from-1]
	}
	if to > 0 {
		end = o.ends[d][to-1]
	}
	return o.wire[d][start:end]
}

func (f *fanOut) message(d dialect.Dialect, flat []byte) ([]byte, bool) {
	if d != dialect.JSON {
		return flat, true
	}
	var err error
	if f.json, err = dialect.AppendJSON(f.json[:0], flat, &f.batch); err != nil {
		f.metrics.drops.WithLabelValues(droppedBroken).Inc()
		return nil, false
	}
	return f.json, true
}

// deliver hands one delivery to its audience. A member's session hears first what became of it: the client may act on
// the frame at once.
func (a *attachment) deliver(ctx context.Context, d *roomv1.Delivery) {
	if number := d.GetAnswered(); number != 0 {
		a.inputs.answered(number)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over || !a.members.Accept(d) {
		return
	}
	m := a.links[d.GetMembership().GetLink()]
	if m != nil {
		m.client.became(ctx, m, d.GetMembership())
		a.fan.own.Keep(m.Entity)
	}
	if frame := d.GetFrame(); len(frame) > 0 {
		a.write(d, frame)
	}
	if m != nil {
		a.admit(m, d.GetMembership())
	}
}

// write writes a frame to its audience, or keeps it a little.
func (a *attachment) write(d *roomv1.Delivery, frame []byte) {
	state := d.GetChannel() == roomv1.Channel_CHANNEL_STATE
	kind, n, err := a.fan.learn(frame)
	if err != nil {
		a.fan.metrics.drops.WithLabelValues(droppedBroken).Inc()
		return
	}
	if n.tick {
		a.pace.ticked(time.Now().Add(-time.Duration(d.GetLateUs()) * time.Microsecond))
	}
	links := d.GetLinks()
	if len(links) == 0 {
		a.fan.metrics.sent[kind].Add(float64(len(a.inside)))
		a.fan.all.add(frame)
		if n.comesAndGoes && len(a.fan.all.flat) < maxHeld {
			a.writeSoon()
		} else {
			a.writeHeld(state)
		}
		return
	}
	if (state || n.roster || d.GetPosition() != nil) && slices.ContainsFunc(links, a.hears) {
		a.writeHeld(false) // it has its place after them: it may tell of those who have come
	}
	a.fan.one.clear()
	a.fan.one.add(frame)
	for _, link := range links {
		m := a.links[link]
		switch {
		case m == nil:
		case state && !m.takesState():
			a.missed(m)
		default:
			a.fan.metrics.sent[kind].Inc()
			a.fan.send(m, a.fan.in(&a.fan.one, m.socket.Dialect, 0, 1))
		}
	}
	a.readOn(links, n)
}

// hears says whether a member is inside.
func (a *attachment) hears(link uint32) bool {
	m := a.links[link]
	return m != nil && m.index >= 0
}

// writeSoon has what is held be written within a tick, or within newsPause of when it had the last news be. Who comes and
// goes is news that can wait so long for company: in a crowd it would otherwise be a write to everybody for everybody.
func (a *attachment) writeSoon() {
	if len(a.fan.all.flat) > 1 {
		return
	}
	now := time.Now()
	wait := newsWait(now, a.news, a.pace.interval)
	a.news = now.Add(wait)
	if a.soon == nil {
		a.soon = time.AfterFunc(wait, func() {
			defer a.contain()
			a.mu.Lock()
			defer a.mu.Unlock()
			a.writeHeld(false)
		})
		return
	}
	a.soon.Reset(wait)
}

// newsWait is how long news waits that has come now, when the last was to be written then: which may be to come, for it may
// have been written before, together with something else.
func newsWait(now, last time.Time, interval time.Duration) time.Duration {
	return max(interval, min(newsPause, last.Add(newsPause).Sub(now)))
}

// writeHeld writes what is for all and was not written, in one piece to each. The last of it may be state, which is not
// for members who do not keep up.
func (a *attachment) writeHeld(state bool) {
	f := &a.fan
	count := len(f.all.flat)
	if count == 0 {
		return
	}
	for _, m := range a.inside {
		to, misses := count, state && !m.takesState()
		if misses {
			to--
		}
		f.send(m, f.in(&f.all, m.socket.Dialect, m.from, to))
		if misses {
			a.missed(m)
		}
		m.from = 0
	}
	f.all.clear()
}

// admit lets a member hear what the room says to all, or no longer hear anything.
func (a *attachment) admit(m *member, what *roomv1.Membership) {
	if _, in := what.GetOutcome().(*roomv1.Membership_JoinedEntity); !in {
		a.inputs.putOut(m.Link)
		a.unlinkLocked(m.Link)
		return
	}
	if m.index < 0 {
		m.index, m.from = len(a.inside), len(a.fan.all.flat)
		a.inside = append(a.inside, m)
	}
}

// takesState says whether a member keeps up. State is not queued for one that does not.
func (m *member) takesState() bool { return !m.missed && !m.socket.Congested() }

// missed takes note that a member did not get a state frame: when it keeps up again, the room is asked for the newest of all
// that it sees.
func (a *attachment) missed(m *member) {
	m.missed = true
	a.fan.metrics.stateDrops.Inc()
	a.catchUpLocked(m)
}

func (f *fanOut) send(m *member, wire []byte) bool {
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
	defer a.contain()
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

// news is what a frame says to the gateway itself.
type news struct {
	comesAndGoes bool   // it tells only of that
	tick         bool   // it is the first of a tick
	roster       bool   // a roster is on its way, or this is a part of it
	last         bool   // the roster ends here
	after        uint32 // the entity of its last member
}

// learn keeps the newest state of members' own entities, and says what kind of frame it is. What is of a later version is
// none that is known, for clients that know it.
func (f *fanOut) learn(frame []byte) (kind clientv1.ServerBody, n news, err error) {
	if statebatch.Is(frame) {
		switch err := f.batch.Read(frame); {
		case errors.Is(err, statebatch.ErrNewer):
			return clientv1.ServerBodyNONE, news{}, nil
		case err != nil:
			return clientv1.ServerBodyNONE, news{}, err
		}
		return clientv1.ServerBodyStateBatch, news{tick: f.learnStates()}, nil
	}
	root := clientv1.GetRootAsServerFrame(frame, 0)
	var table flatbuffers.Table
	if !root.Body(&table) {
		return clientv1.ServerBodyNONE, news{}, nil
	}
	kind = root.BodyType()
	switch kind {
	case clientv1.ServerBodySnapshot:
		var snapshot clientv1.Snapshot
		snapshot.Init(table.Bytes, table.Pos)
		f.own.Snapshot(&snapshot)
		n.roster = snapshot.ViewRadius() > 0
	case clientv1.ServerBodyCorrection:
		var correction clientv1.Correction
		correction.Init(table.Bytes, table.Pos)
		f.own.Correction(&correction)
	case clientv1.ServerBodyRoster:
		var roster clientv1.Roster
		roster.Init(table.Bytes, table.Pos)
		n.roster, n.last, n.after = true, roster.Last(), lastOf(&roster)
	case clientv1.ServerBodyRoomEvent:
		var event clientv1.RoomEvent
		event.Init(table.Bytes, table.Pos)
		n.comesAndGoes = event.BodyType() == clientv1.EventBodyMemberJoined || event.BodyType() == clientv1.EventBodyMemberLeft
	}
	if int(kind) >= len(f.metrics.sent) {
		return clientv1.ServerBodyNONE, n, nil
	}
	return kind, n, nil
}

func lastOf(roster *clientv1.Roster) uint32 {
	var m clientv1.Member
	var s clientv1.EntityState
	if n := roster.MembersLength(); n == 0 || !roster.Members(&m, n-1) || m.State(&s) == nil {
		return 0
	}
	return s.Entity()
}

// learnStates says whether the batch that was read is the first of its tick.
func (f *fanOut) learnStates() (first bool) {
	first = f.tick != f.batch.Tick
	f.tick = f.batch.Tick
	f.own.Batch(&f.batch)
	return first
}
