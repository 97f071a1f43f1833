package roomsim

import (
	"fmt"
	"maps"
	"slices"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/worldmesh/worldmesh/clients/go/statebatch"
	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
	"github.com/worldmesh/worldmesh/go_services/gateway/roomlink"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"google.golang.org/protobuf/proto"
)

// gateway is the gateway's side of the room, as gateway/attachment.go drives it.
type gateway struct {
	world   *World
	index   int
	members *roomlink.Members
	queue   *roomlink.Queue
	open    map[uint64]bool // numbers of inputs that were not answered
	devices map[uint32]*device
	walkers map[uint32]*roomlink.Member
	own     roomlink.Own
	inside  map[uint32]bool
	stream  *stream
	host    int // the relay that the room is said to be at, or -1
	opened  bool
}

// stream is a gRPC stream: what was sent and not received yet.
type stream struct {
	id      uint64 // given by the relay that takes it
	gateway *gateway
	relay   *relay
	up      []*roomv1.AttachRequest
	down    []*roomv1.AttachResponse
	ended   bool           // no more will come down
	dropped bool           // the gateway has gone; no more will go up
	newest  map[uint32]int // step of each member when it was opened, by link
}

func newGateway(w *World, index int) *gateway {
	g := &gateway{world: w, index: index}
	g.reset()
	return g
}

func (g *gateway) reset() {
	g.members, g.queue, g.open = roomlink.NewMembers(), &roomlink.Queue{}, map[uint64]bool{}
	g.devices, g.inside = map[uint32]*device{}, map[uint32]bool{}
	g.walkers, g.own = map[uint32]*roomlink.Member{}, roomlink.Own{}
	g.stream, g.host, g.opened = nil, -1, false
}

func positionMessage(p *frames.LogPosition) *roomv1.LogPosition {
	if p == nil {
		return nil
	}
	return &roomv1.LogPosition{Epoch: p.Epoch, Seq: p.Seq, Sub: p.Sub}
}

// enter sends a device's join, and gives it a link.
func (g *gateway) enter(d *device, rid uint32, number uint64) uint32 {
	user := d.client.user()
	join := &roomv1.Input_Join{
		User: &commonv1.PublicUser{UserId: user, Username: user}, GatewaySessionId: d.session, Resume: positionMessage(d.seen),
	}
	m := g.members.Enter(join)
	g.devices[m.Link], g.walkers[m.Link] = d, m
	g.put(&roomv1.Input{Link: m.Link, Rid: rid, Number: number, Body: &roomv1.Input_Join_{Join: join}})
	return m.Link
}

// forward sends what a device does.
func (g *gateway) forward(d *device, rid uint32, number uint64, act Act) {
	in := &roomv1.Input{Link: d.link, Rid: rid, Number: number}
	id := d.client.messageID(act.Text)
	switch act.Kind {
	case Leave:
		in.Body = &roomv1.Input_Leave_{Leave: &roomv1.Input_Leave{GatewaySessionId: d.session}}
	case Whisper:
		to := g.world.clients[act.To].user()
		in.Body = &roomv1.Input_Whisper_{Whisper: &roomv1.Input_Whisper{TargetUserId: to, Text: act.Text, ClientMessageId: id}}
	default:
		in.Body = &roomv1.Input_Chat_{Chat: &roomv1.Input_Chat{Text: act.Text, ClientMessageId: id}}
	}
	g.put(in)
}

// step is inputQueue.step.
func (g *gateway) step(d *device, move dialect.Move) {
	m := g.walkers[d.link]
	g.keep(m, move)
	g.queue.Step(roomlink.Step{Link: m.Link, Move: move})
}

// askedStep is inputQueue.askedStep.
func (g *gateway) askedStep(d *device, move dialect.Move, rid uint32, number uint64) {
	m := g.walkers[d.link]
	g.put(roomlink.StepInput(roomlink.Step{Link: m.Link, Move: move}, rid, number))
	if g.world.setup.Broken != ForgetAskedSteps {
		g.keep(m, move)
	}
}

func (g *gateway) keep(m *roomlink.Member, move dialect.Move) {
	known := slices.ContainsFunc(g.members.Steps(), func(s roomlink.Step) bool { return s.Link == m.Link })
	if g.world.setup.Broken != RepeatFirstStep || !known {
		m.Stepped(move)
	}
}

// exit takes a device out whose connection is lost.
func (g *gateway) exit(d *device, number uint64) {
	g.queue.Exit(g.walkers[d.link], &roomv1.Input{
		Link: d.link, Number: number, Body: &roomv1.Input_Detach_{Detach: &roomv1.Input_Detach{GatewaySessionId: d.session}},
	})
	g.open[number] = true
	g.unlink(d.link)
}

func (g *gateway) put(in *roomv1.Input) {
	g.queue.Put(in)
	g.open[in.GetNumber()] = true
}

func (g *gateway) unlink(link uint32) {
	if m := g.walkers[link]; m != nil {
		delete(g.own, m.Entity)
	}
	delete(g.devices, link)
	delete(g.walkers, link)
	delete(g.inside, link)
	g.members.Leave(link)
}

// idle says whether nobody is in.
func (g *gateway) idle() bool { return len(g.devices) == 0 && (g.stream != nil || len(g.open) > 0) }

// timePassed ends an attachment that nobody is in for a while, with all that waits in it.
func (g *gateway) timePassed() {
	if g.idle() {
		g.endAttachment()
	}
}

func (g *gateway) endAttachment() {
	if g.stream != nil {
		g.stream.dropped, g.stream.down = true, nil
	}
	g.reset()
}

func (g *gateway) actions() []action {
	var all []action
	if g.idle() && len(g.open) == 0 {
		all = append(all, action{fmt.Sprintf("gateway %d ends its attachment", g.index), g.endAttachment})
	}
	if g.stream == nil {
		if len(g.devices) > 0 || len(g.open) > 0 {
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
	if target < 0 || g.world.relays[target].unnoticed(g) > 1 {
		return nil
	}
	all := []action{g.connection(target)}
	if g.world.faults.Misroutes > 0 {
		for i, r := range g.world.relays {
			if i != target && r.answers() && r.unnoticed(g) <= 1 {
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
		s := &stream{gateway: g, relay: g.world.relays[relay], newest: map[uint32]int{}}
		for link, d := range g.devices {
			s.newest[link] = d.newest.N
		}
		g.stream, g.opened = s, false
		steps, place := g.members.Steps(), g.own.State
		switch g.world.setup.Broken {
		case ForgetSteps:
			steps = nil
		case ForgetPlaces:
			place = func(uint32) *roomv1.Input_State { return nil }
		}
		g.queue.Reopen(steps)
		g.spoil()
		open := proto.CloneOf(g.members.Open("room", fmt.Sprint(g.index), &roomv1.RoomConfig{}, place)) // places change
		if g.world.setup.Broken == IgnoreSeen && open.Seen != nil {
			open.Seen.Seq--
		}
		if g.world.setup.Broken == ForgetBehind {
			for _, rejoin := range open.GetRejoins() {
				rejoin.GetJoin().Resume = nil
			}
		}
		s.up = append(s.up, &roomv1.AttachRequest{Body: &roomv1.AttachRequest_Open_{Open: open}})
		s.relay.incoming = append(s.relay.incoming, s)
	}}
}

// spoil breaks the repetition of what was not answered.
func (g *gateway) spoil() {
	switch g.world.setup.Broken {
	case RepeatOutOfOrder:
		waiting := g.takeInputs()
		slices.Reverse(waiting)
		for _, in := range waiting {
			g.queue.Put(in)
		}
		g.stepAgain()
	case ForgetUnanswered:
		for _, in := range g.takeInputs() {
			if in.GetJoin() != nil {
				g.queue.Put(in)
			} else {
				delete(g.open, in.GetNumber())
			}
		}
		g.stepAgain()
	}
}

// takeInputs empties a queue that begins a new stream.
func (g *gateway) takeInputs() []*roomv1.Input {
	batch := &roomv1.AttachRequest_Inputs{}
	g.queue.Take(batch, g.queue.Len())
	g.queue = &roomlink.Queue{}
	return batch.GetInputs()
}

func (g *gateway) stepAgain() {
	for _, step := range g.members.Steps() {
		g.queue.Step(step)
	}
}

// send sends what waits. The queue uses the memory of its messages again.
func (g *gateway) send() {
	batch := &roomv1.AttachRequest_Inputs{}
	g.queue.Take(batch, 16)
	if !g.stream.ended {
		if batch.GetSteps() != nil {
			batch.Steps = proto.CloneOf(batch.GetSteps())
		}
		g.stream.up = append(g.stream.up, &roomv1.AttachRequest{Body: &roomv1.AttachRequest_Inputs_{Inputs: batch}})
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
		g.world.openedBy(body.Opened.GetEpoch(), body.Opened.GetIncarnation())
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

// openedBy looks whether two relays are visible in the same epoch.
func (w *World) openedBy(epoch uint64, relay string) {
	if before, known := w.opened[epoch]; known && before != relay {
		w.fail("relays %s and %s both have the room in epoch %d", before, relay, epoch)
	}
	w.opened[epoch] = relay
}

// leaveStream gives the stream up: the relay learns of it, unless it is paused, when it looks.
func (g *gateway) leaveStream(host int) {
	g.stream.dropped = true
	g.stream.down = nil
	g.stream, g.host, g.opened = nil, host, false
}

func (g *gateway) deliver(d *roomv1.Delivery) {
	if number := d.GetAnswered(); number != 0 {
		g.queue.Answered(number)
		delete(g.open, number)
	}
	if !g.members.Accept(d) {
		return
	}
	m := d.GetMembership()
	if member := g.walkers[m.GetLink()]; member != nil {
		g.own.Keep(member.Entity)
	}
	g.learn(d.GetFrame())
	if frame := d.GetFrame(); len(frame) > 0 {
		links := d.GetLinks()
		if len(links) == 0 {
			links = slices.Sorted(maps.Keys(g.inside))
		}
		for _, link := range links {
			if to := g.devices[link]; to != nil {
				to.receives(frame)
			}
		}
	}
	if m == nil || g.devices[m.GetLink()] == nil {
		return
	}
	if _, in := m.GetOutcome().(*roomv1.Membership_JoinedEntity); in {
		g.inside[m.GetLink()] = true
	} else {
		g.unlink(m.GetLink())
	}
}

// learn is fanOut.learn, of where members are.
func (g *gateway) learn(frame []byte) {
	switch {
	case len(frame) == 0:
	case statebatch.Is(frame):
		var batch frames.StateBatch
		if batch.Read(frame) == nil {
			g.own.Batch(&batch)
		}
	default:
		root := clientv1.GetRootAsServerFrame(frame, 0)
		var body flatbuffers.Table
		if !root.Body(&body) {
			return
		}
		switch root.BodyType() {
		case clientv1.ServerBodySnapshot:
			var snapshot clientv1.Snapshot
			snapshot.Init(body.Bytes, body.Pos)
			g.own.Snapshot(&snapshot)
		case clientv1.ServerBodyCorrection:
			var correction clientv1.Correction
			correction.Init(body.Bytes, body.Pos)
			g.own.Correction(&correction)
		}
	}
}

func (g *gateway) faultActions() []action {
	if g.world.faults.GatewayCrashes == 0 || len(g.world.gateways) < 2 || len(g.devices) == 0 {
		return nil
	}
	return []action{{fmt.Sprintf("gateway %d crashes", g.index), func() {
		g.world.faults.GatewayCrashes--
		var lost []*device
		for _, link := range slices.Sorted(maps.Keys(g.devices)) {
			lost = append(lost, g.devices[link])
		}
		g.endAttachment()
		for _, d := range lost {
			d.crashed()
		}
	}}}
}
