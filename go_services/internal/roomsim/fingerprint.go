package roomsim

import (
	"bufio"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"io"
	"slices"

	"github.com/worldmesh/worldmesh/clients/go/statebatch"
	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/relay/room"
)

// Fingerprint tells states apart: two worlds with the same one go on alike, and what is checked knows the same of both.
func (w *World) Fingerprint() uint64 {
	sum := fnv.New64a()
	h := bufio.NewWriterSize(sum, 8<<10)
	s := w.store
	_, _ = fmt.Fprintf(h, "%d %v %d\n%v%v", w.era, w.faults, w.now.UnixMilli(), s, s.past)
	_, _ = fmt.Fprintf(h, "%t %t %t %d %d %v %t %t %t\n", s.down, s.fails, s.mute, s.switches, s.ahead, s.holder, s.forgot, s.unseen, w.lost)
	_, _ = fmt.Fprintf(h, "%v %t\n", w.opened, w.trimmed)
	printEntries(h, w.book.entries)
	for _, l := range w.late {
		l.print(h)
	}
	for _, r := range w.relays {
		r.print(h)
	}
	for _, g := range w.gateways {
		_, _ = fmt.Fprintf(h, "gateway %d %t %v %v %v %v %d\n", g.host, g.opened, g.members, g.queue, g.inside, g.open,
			len(g.devices))
		if w.walks {
			_, _ = fmt.Fprintf(h, "%v %v\n", g.members.Steps(), g.own)
			g.queue.Print(h)
		}
		if g.stream != nil {
			g.stream.print(h)
		}
	}
	for _, c := range w.clients {
		_, _ = fmt.Fprintf(h, "client %d %d %d %v %t %v %t %d %t\n", len(c.acts), c.sessions, c.rids, c.acked, c.refused,
			c.bookmark, c.stray, c.device.link, c.dashed)
		for _, d := range c.older {
			d.print(h)
		}
		c.device.print(h)
	}
	_ = h.Flush()
	return sum.Sum64()
}

func (d *device) print(h io.Writer) {
	_, _ = fmt.Fprintf(h, "device %d %s %t %t %t %t %t %t %t %t %v %v %v %v %v\n", d.gateway.index, d.session, d.skipped, d.in,
		d.wasIn, d.away, d.over, d.unsure, d.leaving, d.retry, d.asked, d.again, d.from, d.seen, d.heard)
	if d.client.world.walks {
		_, _ = fmt.Fprintf(h, "%v %d %v %v %t %d\n", d.view, d.entity, d.base, d.newest, d.putBack, d.furthest)
	}
}

func (r *relay) print(h io.Writer) {
	_, _ = fmt.Fprintf(h, "relay %t %t %d %d %d %d %d\n", r.alive, r.paused, r.incarnation, r.era, r.switches,
		r.renewed.UnixMilli(), r.swept.UnixMilli())
	_, _ = fmt.Fprintf(h, "%v %d %t %t %d %t\n", r.owner, r.wantEra, r.tellsLost, r.frozen, r.goesTo, r.tried)
	_, _ = fmt.Fprintf(h, "%v %d\n", r.asks, r.steals)
	printEntries(h, r.unwritten)
	if r.core != nil {
		// How many streams there have been does not matter.
		_, _ = fmt.Fprintf(h, "%x\n", r.core.HashBy(func(id uint64) uint64 { return uint64(slices.Index(r.order, id) + 1) }))
		printLost(h, r.core.LostNews())
		if r.world.walks {
			_, _ = fmt.Fprintf(h, "%x\n", r.core.HashTick())
		}
	}
	if r.writing != nil {
		r.writing.print(h)
	}
	for _, s := range r.incoming {
		s.print(h)
	}
	for _, s := range r.all() {
		s.print(h)
	}
}

func (w *write) print(h io.Writer) {
	_, _ = fmt.Fprintf(h, "write %v %t %v %t", w.owner, w.done, w.err, w.last)
	printLost(h, w.lost)
	if w.again != nil {
		_, _ = fmt.Fprintf(h, " again %d %d %v %v", w.again.Held, w.again.Era, w.again.Past.Last, w.claim.Owner)
	}
	printEntries(h, w.entries)
}

func printLost(h io.Writer, lost []room.Lost) {
	for _, l := range lost {
		_, _ = fmt.Fprintf(h, " %d %d", l.Entity, l.Since.UnixMilli())
	}
}

func printEntries(h io.Writer, entries []*room.Entry) {
	for _, e := range entries {
		_, _ = fmt.Fprintf(h, " %v %s %s", e.LogPosition, e.Author, e.Key)
	}
	_, _ = fmt.Fprintln(h)
}

func (s *stream) print(h io.Writer) {
	_, _ = fmt.Fprintf(h, "stream %d %d %t %t up", s.gateway.index, s.relay.index, s.ended, s.dropped)
	for _, m := range s.up {
		if open := m.GetOpen(); open != nil {
			p := open.GetSeen()
			_, _ = fmt.Fprintf(h, " opens after %d.%d.%d", p.GetEpoch(), p.GetSeq(), p.GetSub())
			for _, rejoin := range open.GetRejoins() {
				_, _ = fmt.Fprintf(h, " %d %d", rejoin.GetLink(), rejoin.GetJoin().GetResume().GetSeq())
				printPlace(h, rejoin.GetState())
			}
		}
		for _, in := range m.GetInputs().GetInputs() {
			_, _ = fmt.Fprintf(h, " %d", in.GetNumber())
			printPlace(h, in.GetState())
		}
		if steps := m.GetInputs().GetSteps(); steps != nil {
			_, _ = fmt.Fprintf(h, " steps %v %v %v %v", steps.GetLinks(), steps.GetX(), steps.GetZ(), m.GetInputs().GetStepsBefore())
		}
		_, _ = fmt.Fprint(h, ";")
	}
	if s.gateway.world.walks {
		_, _ = fmt.Fprintf(h, " %v", s.newest)
	}
	_, _ = fmt.Fprint(h, " down")
	for _, m := range s.down {
		printResponse(h, m)
	}
	_, _ = fmt.Fprintln(h)
}

// printFrame leaves out how often the room has ticked: that does not matter.
func printFrame(h io.Writer, frame []byte) {
	switch {
	case len(frame) == 0:
	case statebatch.Is(frame):
		var batch frames.StateBatch
		_ = batch.Read(frame)
		_, _ = fmt.Fprint(h, batch.States)
	case clientv1.GetRootAsServerFrame(frame, 0).BodyType() == clientv1.ServerBodySnapshot:
		self, places := placesIn(frame)
		_, _ = fmt.Fprint(h, read(frame), self, places)
	default:
		_, _ = fmt.Fprintf(h, "%x", crc32.ChecksumIEEE(frame))
	}
}

func printPlace(h io.Writer, s *roomv1.Input_State) {
	if p := s.GetPosition(); p != nil {
		_, _ = fmt.Fprintf(h, " to %v %v", p.GetX(), p.GetZ())
	}
}

func printResponse(h io.Writer, m *roomv1.AttachResponse) {
	for _, d := range m.GetDeliveries().GetDeliveries() {
		p := d.GetPosition()
		_, _ = fmt.Fprintf(h, " %d.%d.%d>%v@%d ", p.GetEpoch(), p.GetSeq(), p.GetSub(), d.GetLinks(), d.GetAnswered())
		printFrame(h, d.GetFrame())
	}
	if o := m.GetOpened(); o != nil {
		_, _ = fmt.Fprintf(h, " opened %d", o.GetEpoch())
	}
	if o := m.GetMoved(); o != nil {
		_, _ = fmt.Fprintf(h, " moved %s %d", o.GetRelayAddress(), o.GetEpoch())
	}
}
