package roomsim

import (
	"fmt"
	"slices"

	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/roomlink"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

// gateway is the gateway's side of the room, as gateway/attachment.go drives it.
type gateway struct {
	world   *World
	index   int
	members *roomlink.Members
	queue   *roomlink.Queue
	clients map[uint32]*client
	inside  map[uint32]bool
	stream  *stream
	host    int // the relay that the room is said to be at, or -1
	opened  bool
}

// stream is a gRPC stream: what was sent and not received yet.
type stream struct {
	id      uint64
	gateway *gateway
	relay   *relay
	up      []*roomv1.AttachRequest
	down    []*roomv1.AttachResponse
	ended   bool // no more will come down
	dropped bool // the gateway has gone; no more will go up
}

func newGateway(w *World, index int) *gateway {
	g := &gateway{world: w, index: index}
	g.reset()
	return g
}

func (g *gateway) reset() {
	g.members, g.queue = roomlink.NewMembers(), &roomlink.Queue{}
	g.clients, g.inside = map[uint32]*client{}, map[uint32]bool{}
	g.stream, g.host, g.opened = nil, -1, false
}

func (g *gateway) enter(c *client, join *roomv1.Input_Join) *roomlink.Member {
	m := g.members.Enter(join)
	g.clients[m.Link] = c
	g.world.numbers++
	g.queue.Put(&roomv1.Input{
		Link: m.Link, Rid: 1, Number: g.world.numbers, Body: &roomv1.Input_Join_{Join: join},
	})
	return m
}

func (g *gateway) actions() []action {
	var all []action
	if g.stream == nil {
		if len(g.clients) > 0 {
			all = append(all, g.connections()...)
		}
		return all
	}
	if g.opened && g.queue.Len() > 0 {
		all = append(all, action{fmt.Sprintf("gateway %d sends", g.index), g.send})
	}
	if len(g.stream.down) > 0 {
		all = append(all, action{fmt.Sprintf("gateway %d receives", g.index), g.receive})
	} else if g.stream.ended {
		all = append(all, action{fmt.Sprintf("gateway %d loses its stream", g.index), func() { g.leaveStream(-1) }})
	}
	return all
}

// connections are the relays that the mesh may bring the gateway to: the one that is named, or else the first that
// answers; another only by a fault.
func (g *gateway) connections() []action {
	target := g.host
	if target < 0 || !g.world.relays[target].answers() {
		target = slices.IndexFunc(g.world.relays, (*relay).answers)
	}
	if target < 0 {
		return nil
	}
	all := []action{g.connection(target)}
	if g.world.faults.Misroutes > 0 {
		for i, r := range g.world.relays {
			if i != target && r.answers() {
				other := g.connection(i)
				all = append(all, action{other.name + " by mistake", func() {
					g.world.faults.Misroutes--
					other.do()
				}})
			}
		}
	}
	return all
}

func (g *gateway) connection(relay int) action {
	return action{fmt.Sprintf("gateway %d attaches at relay %d", g.index, relay), func() {
		g.world.streams++
		s := &stream{id: g.world.streams, gateway: g, relay: g.world.relays[relay]}
		g.stream, g.opened = s, false
		g.queue.Reopen(g.members.Steps())
		if g.world.setup.Broken == ForgetUnanswered || g.world.setup.Broken == RepeatOutOfOrder {
			g.spoil()
		}
		open := g.members.Open("room", fmt.Sprint(g.index), &roomv1.RoomConfig{}, func(uint32) *roomv1.Input_State { return nil })
		if g.world.setup.Broken == IgnoreSeen && open.Seen != nil {
			open.Seen.Seq--
		}
		s.up = append(s.up, &roomv1.AttachRequest{Body: &roomv1.AttachRequest_Open_{Open: open}})
		s.relay.incoming = append(s.relay.incoming, s)
	}}
}

// spoil breaks the repetition of what was not answered.
func (g *gateway) spoil() {
	waiting := g.queue.Take(nil, g.queue.Len())
	g.queue = &roomlink.Queue{}
	if g.world.setup.Broken == RepeatOutOfOrder {
		slices.Reverse(waiting)
		for _, in := range waiting {
			g.queue.Put(in)
		}
		return
	}
	for _, in := range waiting {
		if in.GetJoin() != nil {
			g.queue.Put(in)
		}
	}
}

func (g *gateway) send() {
	inputs := g.queue.Take(nil, 16)
	if !g.stream.ended {
		g.stream.up = append(g.stream.up, &roomv1.AttachRequest{Body: &roomv1.AttachRequest_Inputs_{
			Inputs: &roomv1.AttachRequest_Inputs{Inputs: inputs},
		}})
	}
}

func (g *gateway) receive() {
	response := g.stream.down[0]
	g.stream.down = g.stream.down[1:]
	switch body := response.GetBody().(type) {
	case *roomv1.AttachResponse_Opened_:
		if !g.members.Opened(body.Opened.GetEpoch()) && g.world.setup.Broken != AcceptOldEpoch {
			g.leaveStream(-1)
			return
		}
		g.opened = true
	case *roomv1.AttachResponse_Moved_:
		g.members.Moved(body.Moved.GetEpoch())
		host := -1
		if address := body.Moved.GetRelayAddress(); address != "" {
			_, _ = fmt.Sscan(address, &host)
		}
		g.leaveStream(host)
	case *roomv1.AttachResponse_Deliveries_:
		for _, d := range body.Deliveries.GetDeliveries() {
			g.deliver(d)
		}
	}
}

// leaveStream gives the stream up: the relay learns of it, unless it is paused, when it looks.
func (g *gateway) leaveStream(host int) {
	g.stream.dropped = true
	g.stream.down = nil
	g.stream, g.host, g.opened = nil, host, false
}

func (g *gateway) deliver(d *roomv1.Delivery) {
	if d.GetAnswered() != 0 {
		g.queue.Answered(d.GetAnswered())
	}
	news := g.members.Accept(d)
	for _, link := range d.GetLinks() {
		switch c := g.clients[link]; {
		case c == nil || d.GetAnswered() == 0:
		case string(d.GetFrame()) == refusal:
			c.refused(d.GetAnswered())
			return
		default:
			c.answered(d.GetAnswered())
		}
	}
	if !news && g.world.setup.Broken != AcceptTwice {
		return
	}
	if m := d.GetMembership(); m != nil {
		g.became(d, m)
		return
	}
	if len(d.GetFrame()) == 0 {
		return
	}
	p := d.GetPosition()
	at, text := frames.LogPosition{Epoch: p.GetEpoch(), Seq: p.GetSeq(), Sub: p.GetSub()}, string(d.GetFrame())
	links := d.GetLinks()
	if len(links) == 0 {
		for link := range g.inside {
			links = append(links, link)
		}
	}
	slices.Sort(links)
	for _, link := range links {
		if c := g.clients[link]; c != nil {
			c.hears(at, text)
		}
	}
}

func (g *gateway) became(d *roomv1.Delivery, m *roomv1.Membership) {
	c := g.clients[m.GetLink()]
	if c == nil {
		return
	}
	switch m.GetOutcome().(type) {
	case *roomv1.Membership_JoinedEntity:
		g.inside[m.GetLink()] = true
		p := d.GetPosition()
		flags := string(d.GetFrame())
		c.joined(frames.LogPosition{Epoch: p.GetEpoch(), Seq: p.GetSeq(), Sub: p.GetSub()}, flags[0] == '1', flags[1] == '1')
	default:
		delete(g.clients, m.GetLink())
		delete(g.inside, m.GetLink())
		g.members.Leave(m.GetLink())
		if c.gateway != g || c.member.Link != m.GetLink() {
			return
		}
		if g.world.lossy() { // it is told, and comes back
			c.lost(g)
			return
		}
		g.world.fail("client %d was put out of the room: %v", c.index, m)
	}
}

func (g *gateway) faultActions() []action {
	if g.world.faults.GatewayCrashes == 0 || len(g.world.gateways) < 2 || len(g.clients) == 0 {
		return nil
	}
	return []action{{fmt.Sprintf("gateway %d crashes", g.index), func() {
		g.world.faults.GatewayCrashes--
		if g.stream != nil {
			g.stream.dropped, g.stream.down = true, nil
		}
		lost := make([]*client, 0, len(g.clients))
		for _, c := range g.world.clients {
			if c.gateway == g {
				lost = append(lost, c)
			}
		}
		g.reset()
		for _, c := range lost {
			c.lost(g.world.gateways[(g.index+1)%len(g.world.gateways)])
		}
	}}}
}
