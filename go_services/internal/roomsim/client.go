package roomsim

import (
	"fmt"
	"slices"

	"github.com/worldmesh/worldmesh/clients/go/statebatch"
	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
)

// client is a person: does its acts one after another, on the device that it came in by last.
type client struct {
	world    *World
	index    int
	acts     []Act // that are left
	device   *device
	older    []*device
	devices  int
	sessions int
	rids     uint32
	acked    []string
	refused  bool // something that it said: what it says may be heard in another order
	stray    bool // a join of its own may be on its way that it has given up: it may take the place of a later one
	bookmark *frames.LogPosition
	dashed   bool // has gone so far that it depends on time whether it is let through
	// everHeard is what all its devices have heard.
	everHeard []heard
}

// heard is something that was said.
type heard struct {
	at   frames.LogPosition
	text string
}

func (c *client) user() string { return fmt.Sprintf("usr_%d", c.index) }

// number is unique, and the same in whatever order clients do things.
func (c *client) number() (rid uint32, number uint64) {
	c.rids++
	return c.rids, uint64(c.index+1)<<32 | uint64(c.rids)
}

// enter comes in by a new device, which has seen something or nothing.
func (c *client) enter(g *gateway, seen *frames.LogPosition) {
	if c.device != nil {
		c.device.strays()
		c.older = append(c.older, c.device)
	}
	c.devices++
	c.device = &device{client: c, seen: seen, from: seen, view: map[uint32]frames.Vec3{}}
	c.device.connect(g)
}

// elsewhere is another gateway than that of the newest device.
func (c *client) elsewhere() *gateway {
	return c.world.gateways[(c.device.gateway.index+1)%len(c.world.gateways)]
}

func (c *client) actions() []action {
	d := c.device
	switch {
	case d.retry:
		return []action{{fmt.Sprintf("client %d tries again", c.index), func() { d.connect(d.gateway) }}}
	case d.in && len(d.again) > 0:
		return []action{{fmt.Sprintf("client %d says it again", c.index), d.sayAgain}}
	case len(c.acts) == 0 || d.leaving:
		return nil
	}
	return c.actionOf(c.acts[0])
}

// actionOf is the next act, if it can be done now. What can't be done by who is not in is left out.
func (c *client) actionOf(act Act) []action {
	d := c.device
	next := func(what string, do func()) []action {
		return []action{{fmt.Sprintf("client %d %s", c.index, what), func() {
			c.acts = c.acts[1:]
			do()
		}}}
	}
	leaveOut := next("lets it be", func() {})
	switch {
	case act.Kind == Enter && !d.connected():
		return next("enters", func() { c.enter(c.elsewhere(), nil) })
	case act.Kind == Return && d.away:
		return next("comes back", func() { d.connect(c.elsewhere()) })
	case act.Kind == Enter, act.Kind == Return, !d.connected():
		return leaveOut
	case act.Kind == Drop:
		return next("loses its connection", d.drop)
	case !d.in && act.Kind != Step: // who moves need not wait for the snapshot
		return nil
	}
	switch act.Kind {
	case Leave:
		return next("leaves", d.leave)
	case Second:
		return next("enters by another device", func() { c.enter(c.elsewhere(), nil) })
	case Roam:
		return next("goes on by another device", func() { c.enter(c.elsewhere(), c.bookmark) })
	case Step:
		return next(fmt.Sprintf("makes step %d to %v", act.N, act.spot()), func() { d.step(act) })
	default:
		return next(fmt.Sprintf("says %q", act.Text), func() { d.say(act) })
	}
}

// messageID is set by clients that may have to repeat a message by another connection.
func (c *client) messageID(text string) string {
	if c.world.setup.repeatsByID() {
		return text
	}
	return ""
}

// repeatsByID says whether connections may be lost.
func (s Setup) repeatsByID() bool {
	f := s.Faults
	plain := func(acts []Act) bool {
		return !slices.ContainsFunc(acts, func(a Act) bool { return a.Kind != Say && a.Kind != Whisper && a.Kind != Step })
	}
	return f.GatewayCrashes+f.FailOvers+f.Empties+f.Waits+f.Naps > 0 || slices.ContainsFunc(s.Acts, func(a []Act) bool { return !plain(a) })
}

// check looks at what this client knows.
func (c *client) check(settled bool) {
	for _, d := range append(slices.Clone(c.older), c.device) {
		d.check(settled)
	}
	if settled && len(c.acts) > 0 {
		c.world.fail("client %d does not come to do %v", c.index, c.acts)
	}
}

// ask is an input that is not answered.
type ask struct {
	rid  uint32
	act  Act
	join bool
}

// device is what a client is in by, one connection after another.
type device struct {
	client  *client
	gateway *gateway
	link    uint32
	session string
	in      bool
	wasIn   bool
	away    bool // has no connection
	over    bool // is not in any more, and will not be
	unsure  bool // has asked to leave, and does not know whether it has
	leaving bool
	skipped bool // has missed something on its way out
	retry   bool
	asked   []ask
	again   []Act // what was refused for now
	// heard is what it has heard after `from`; seen is how far that goes.
	from, seen *frames.LogPosition
	heard      []heard
	// view is where it sees everybody; entity is who it is itself, and base where it came in by its newest connection. newest
	// is its newest step by that, if it made one; putBack says that it was told since that it is elsewhere.
	view    map[uint32]frames.Vec3
	entity  uint32
	base    frames.Vec3
	newest  Act
	putBack bool
	// furthest is the number of its furthest step of which its newest connection heard that it was let through.
	furthest int
}

func (d *device) connected() bool { return !d.away && !d.over }

// connect enters by a gateway, and repeats what was not answered.
func (d *device) connect(g *gateway) {
	c := d.client
	d.strays()
	asked := d.asked
	c.sessions++
	d.session = fmt.Sprintf("gws_%d_%d", c.index, c.sessions)
	d.gateway, d.in, d.away, d.retry = g, false, false, false
	d.newest, d.putBack = Act{}, false
	rid, number := c.number()
	d.asked = []ask{{rid: rid, join: true}}
	d.link = g.enter(d, rid, number)
	for _, a := range asked {
		if !a.join && a.act.Kind != Step { // where it was by its connection before does not matter any more
			d.say(a.act)
		}
	}
}

// isIn says whether a device is in by a session, as far as it knows: the newest one may have given up.
func (c *client) isIn(session string) bool {
	return slices.ContainsFunc(c.older, func(d *device) bool { return d.connected() && d.session == session })
}

// strays takes note of a join that is given up.
func (d *device) strays() {
	if slices.ContainsFunc(d.asked, func(a ask) bool { return a.join }) {
		d.client.stray = true
	}
}

// say says something, or leaves.
func (d *device) say(act Act) {
	rid, number := d.client.number()
	d.asked = append(d.asked, ask{rid: rid, act: act})
	d.gateway.forward(d, rid, number, act)
}

func (d *device) sayAgain() {
	again := d.again
	d.again = nil
	for _, act := range again {
		d.say(act)
	}
}

func (d *device) leave() {
	d.leaving = true
	d.say(Act{Kind: Leave})
}

// drop loses the connection: the gateway notices at once.
func (d *device) drop() {
	d.away, d.in = true, false
	_, number := d.client.number()
	d.gateway.exit(d, number)
}

// crashed takes the loss of the gateway.
func (d *device) crashed() {
	switch {
	case !d.connected():
	case d != d.client.device:
		d.end()
	case d.leaving: // it does not come back to hear whether it is out
		d.unsure = true
		d.end()
	default:
		d.connect(d.client.elsewhere())
	}
}

func (d *device) end() {
	d.over, d.in, d.leaving, d.retry, d.asked, d.again = true, false, false, false, nil, nil
}

// receives takes a frame.
func (d *device) receives(frame []byte) {
	if statebatch.Is(frame) {
		d.sees(frame, clientv1.ServerBodyNONE)
		return
	}
	w := read(frame)
	if d.client.world.walks {
		d.sees(frame, w.kind)
	}
	var answered *ask
	for i, a := range d.asked {
		if a.rid == w.rid {
			answered = &a
			d.asked = slices.Delete(d.asked, i, i+1)
			break
		}
	}
	if answered == nil && w.rid != 0 && !d.over {
		d.client.world.fail("client %d: what it asked by %d is answered twice", d.client.index, w.rid)
	}
	switch w.kind {
	case clientv1.ServerBodySnapshot:
		d.joined(w)
	case clientv1.ServerBodyCorrection: // sees
	case clientv1.ServerBodyRoomEvent:
		d.hears(w)
	case clientv1.ServerBodyRoomLeft:
		d.removed(w.reason)
	case clientv1.ServerBodyOk:
		if answered != nil {
			d.done(*answered)
		}
	case clientv1.ServerBodyError:
		if answered != nil {
			d.failed(*answered, w.reason)
		}
	default:
		d.client.world.fail("client %d receives %v", d.client.index, w.kind)
	}
}

func (d *device) done(a ask) {
	switch {
	case a.join: // its connection was lost meanwhile
	case a.act.Kind == Leave:
		if w := d.client.world; !w.lost && w.book.inside(d.session) {
			w.fail("client %d is told that it has left, and that is not in the log", d.client.index)
		}
		d.end()
	default:
		if a.act.Kind != Step {
			d.client.acked = append(d.client.acked, a.act.Text)
		}
	}
}

var (
	logUnavailable  = kit.ReasonName(commonv1.ErrorReason_ERROR_REASON_LOG_UNAVAILABLE)
	roomFull        = kit.ReasonName(commonv1.ErrorReason_ERROR_REASON_ROOM_FULL)
	notInRoom       = kit.ReasonName(commonv1.ErrorReason_ERROR_REASON_NOT_IN_ROOM)
	noSuchMember    = kit.ReasonName(commonv1.ErrorReason_ERROR_REASON_MEMBER_NOT_FOUND)
	memberReplaced  = kit.ReasonName(commonv1.ErrorReason_ERROR_REASON_MEMBER_REPLACED)
	roomUnavailable = kit.ReasonName(commonv1.ErrorReason_ERROR_REASON_ROOM_UNAVAILABLE)
)

func (d *device) failed(a ask, reason string) {
	c := d.client
	c.refused = true
	slow := c.world.setup.Outages+c.world.setup.Failures+c.world.setup.Stalls > 0
	switch {
	case a.join && reason == roomFull && c.world.setup.Capacity > 0:
		d.end()
	case a.join && reason == logUnavailable && slow:
		d.retry = true
	case a.act.Kind == Step && reason == notInRoom && (d.leaving || c.stray || d != c.device || c.world.mayBePutOut()):
	case reason == logUnavailable && slow, reason == notInRoom && (d != c.device || c.stray || c.world.mayBePutOut()):
		d.again = append(d.again, a.act)
	case reason == notInRoom && d.leaving: // it may have been said before it left; who left is not told again
	case reason == noSuchMember && a.act.Kind == Whisper:
	default:
		c.world.fail("client %d is refused %+v: %s", c.index, a, reason)
	}
}

// mayBePutOut says whether somebody may rightly be put out of the room who did not leave.
func (w *World) mayBePutOut() bool { return w.lost || w.now.Sub(w.began) >= hold }

// removed takes the news that it is not in any more.
func (d *device) removed(reason string) {
	c := d.client
	switch {
	case d != c.device:
		d.end()
	case reason == roomUnavailable && c.world.mayBePutOut(), reason == memberReplaced && c.stray, c.world.lost:
		d.in, d.retry = false, true
	default:
		c.world.fail("client %d was put out of the room: %s", c.index, reason)
	}
}

// hears takes an event.
func (d *device) hears(w word) {
	c := d.client
	switch {
	case d.seen == nil:
		c.world.fail("client %d hears %v and is not in", c.index, w.at)
	case w.at.Compare(*d.seen) <= 0:
		c.world.fail("client %d hears %v after %v", c.index, w.at, *d.seen)
	case d.leaving && (c.world.trimmed || c.world.lost): // it is as good as out, and is not told of a gap
		d.skipped = true
	case w.at.Sub == 0 && w.at.Seq != d.seen.Seq+1, w.at.Sub > 0 && w.at.Seq != d.seen.Seq:
		c.world.fail("client %d hears %v after %v", c.index, w.at, *d.seen)
	}
	d.seen = &w.at
	d.heard = append(d.heard, heard{w.at, w.text})
	c.everHeard = append(c.everHeard, heard{w.at, w.text})
}

// joined takes a snapshot.
func (d *device) joined(w word) {
	c := d.client
	if d.seen != nil {
		rightly := c.world.lost || c.world.trimmed || c.world.book.enteredAfter(*d.seen, c.user())
		switch {
		case !w.gap && w.at != *d.seen:
			c.world.fail("client %d goes on at %v, but had seen %v", c.index, w.at, *d.seen)
		case w.gap && !rightly:
			c.world.fail("client %d has a gap after %v", c.index, *d.seen)
		}
	}
	d.in, d.wasIn = true, true
	if d.seen == nil || w.gap {
		d.from, d.heard = &w.at, nil
	}
	d.seen = &w.at
	if c.bookmark == nil {
		c.bookmark = &w.at
	}
}

// check looks at what it has heard, and at what has become of it.
func (d *device) check(settled bool) {
	c := d.client
	newest := d == c.device
	if settled && d.connected() {
		switch {
		case newest && !d.in:
			c.world.fail("client %d does not get into the room", c.index)
		case newest && len(d.asked)+len(d.again) > 0:
			c.world.fail("client %d: %v is not answered, nor %v", c.index, d.asked, d.again)
		case !newest && c.device.wasIn && !c.world.lost:
			c.world.fail("client %d is not told that another device took the place of %q", c.index, d.session)
		}
	}
	stays := newest && d.connected() && !d.leaving
	if settled && stays && d.in && c.world.walks {
		d.checkPlaces()
	}
	if settled && stays && c.world.lost {
		d.compare()
	}
	if d.from == nil || d.skipped || c.world.lost {
		return
	}
	all := c.world.book.after(*d.from, c.user())
	for _, h := range d.heard {
		for !stays && len(all) > 0 && len(all[0].To) > 0 && all[0].LogPosition != h.at {
			all = all[1:] // whispers are for who stays
		}
		if len(all) == 0 || all[0].LogPosition != h.at || read(all[0].Frame).text != h.text {
			c.world.fail("client %d hears %q at %v, which is not what follows there in the log", c.index, h.text, h.at)
			return
		}
		all = all[1:]
	}
	if settled && stays && d.in && len(all) > 0 {
		c.world.fail("client %d has not heard %v", c.index, all[0].LogPosition)
	}
}

// compare looks whether what it heard is of the history that the log has now, though something was lost: else it must
// have been told of a gap.
func (d *device) compare() {
	for _, e := range d.client.world.store.tail() {
		for _, h := range d.heard {
			if h.at.Seq == e.Seq && h.at.Sub == e.Sub && (h.at != e.LogPosition || h.text != read(e.Frame).text) {
				d.client.world.fail("client %d goes on after %q at %v, and the log has %v", d.client.index, h.text, h.at, e.LogPosition)
			}
		}
	}
}
