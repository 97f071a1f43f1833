package roomsim

import (
	"fmt"
	"hash/fnv"
	"io"

	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
)

// Fingerprint tells states apart: two worlds with the same one go on alike.
func (w *World) Fingerprint() uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d %v\n%v%v", w.era, w.faults, w.store, w.before)
	for _, l := range w.late {
		_, _ = fmt.Fprintf(h, "late %v %d\n", l.owner, len(l.entries))
	}
	for _, r := range w.relays {
		r.print(h)
	}
	for _, g := range w.gateways {
		_, _ = fmt.Fprintf(h, "gateway %d %t %v %v\n", g.host, g.opened, g.members, g.queue)
		if g.stream != nil {
			g.stream.print(h)
		}
	}
	for _, c := range w.clients {
		_, _ = fmt.Fprintf(h, "client %d %d %t %v %v %v %v\n", c.said, c.session, c.in, c.asked, c.acked, c.heard, c.seen)
	}
	return h.Sum64()
}

func (r *relay) print(h io.Writer) {
	_, _ = fmt.Fprintf(h, "relay %t %t %d %v %d %t %d\n", r.alive, r.paused, r.incarnation, r.owner, r.wantEra, r.frozen,
		len(r.unwritten))
	if r.core != nil {
		_, _ = fmt.Fprintf(h, "%x\n", r.core.Hash())
	}
	if r.writing != nil {
		_, _ = fmt.Fprintf(h, "writing %d %v %t %v\n", len(r.writing.entries), r.writing.owner, r.writing.done, r.writing.err)
	}
	for _, s := range append(r.incoming, r.all()...) {
		s.print(h)
	}
}

func (s *stream) print(h io.Writer) {
	_, _ = fmt.Fprintf(h, "stream %d %d %d %t %t up", s.id, s.gateway.index, s.relay.index, s.ended, s.dropped)
	for _, m := range s.up {
		for _, in := range m.GetInputs().GetInputs() {
			_, _ = fmt.Fprintf(h, " %d", in.GetNumber())
		}
		_, _ = fmt.Fprint(h, ";")
	}
	_, _ = fmt.Fprint(h, " down")
	for _, m := range s.down {
		printResponse(h, m)
	}
	_, _ = fmt.Fprintln(h)
}

func printResponse(h io.Writer, m *roomv1.AttachResponse) {
	for _, d := range m.GetDeliveries().GetDeliveries() {
		p := d.GetPosition()
		_, _ = fmt.Fprintf(h, " %d.%d.%d>%v@%d", p.GetEpoch(), p.GetSeq(), p.GetSub(), d.GetLinks(), d.GetAnswered())
	}
	if o := m.GetOpened(); o != nil {
		_, _ = fmt.Fprintf(h, " opened %d", o.GetEpoch())
	}
	if o := m.GetMoved(); o != nil {
		_, _ = fmt.Fprintf(h, " moved %s %d", o.GetRelayAddress(), o.GetEpoch())
	}
}
