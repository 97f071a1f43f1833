package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/worldmesh/worldmesh/clients/go/statebatch"
	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"google.golang.org/grpc/metadata"
)

const link = 1 // of the only member

// place is where something stands in the ordered channel.
type place struct {
	epoch, seq uint64
	sub        uint32
}

// meeting is told of when two have come.
type meeting struct {
	one atomic.Bool
	met chan struct{}
}

func (m *meeting) come() {
	if m.one.Swap(true) {
		close(m.met)
	}
}

// gateway is a gateway with one member, as far as relays see one.
type gateway struct {
	client roomv1.RoomServiceClient
	room   string
	name   string
	all    int      // messages that there are to hear
	both   *meeting // until both members are in: nobody hears what was said before
	done   chan<- struct{}

	mu          sync.Mutex
	openedFirst bool // the relay that was asked first said that it has the room
	sentOn      bool // a relay said that another has it
	attached    int
	epoch       uint64
	entity      uint32
	seen        *roomv1.LogPosition
	inputs      []*roomv1.Input // not answered, in order
	said        map[uint64]string
	heard       map[string][]place
	back        int
	told        bool
}

func newGateway(
	client roomv1.RoomServiceClient, room string, index, all int, both *meeting, done chan<- struct{},
) *gateway {
	g := &gateway{
		client: client, room: room, name: fmt.Sprintf("rival-%d", index), all: all, both: both, done: done,
		said: map[uint64]string{}, heard: map[string][]place{},
	}
	g.input(&roomv1.Input{Body: &roomv1.Input_Join_{Join: g.join()}})
	for n := range words {
		text := fmt.Sprintf("%s says %d", g.name, n)
		in := g.input(&roomv1.Input{Body: &roomv1.Input_Chat_{Chat: &roomv1.Input_Chat{Text: text, ClientMessageId: text}}})
		g.said[in.GetNumber()] = text
	}
	return g
}

func (g *gateway) join() *roomv1.Input_Join {
	user := &commonv1.PublicUser{UserId: "usr_" + g.name, Username: g.name}
	return &roomv1.Input_Join{User: user, GatewaySessionId: "gws_" + g.name + g.room}
}

func (g *gateway) input(in *roomv1.Input) *roomv1.Input {
	in.Link, in.Number = link, uint64(len(g.inputs)+1)
	g.inputs = append(g.inputs, in)
	return in
}

// answered are the messages that the log has, as the relay said.
func (g *gateway) answered() map[string]bool {
	texts := map[string]bool{}
	for _, text := range g.said {
		texts[text] = true
	}
	for _, in := range g.inputs {
		delete(texts, in.GetChat().GetText())
	}
	return texts
}

// run goes from relay to relay until ctx ends.
func (g *gateway) run(ctx context.Context, host string) error {
	for {
		next, err := g.attach(ctx, host)
		switch {
		case ctx.Err() != nil && g.told:
			return nil // the other has heard all, too
		case ctx.Err() != nil:
			return fmt.Errorf("%s has heard %d of %d", g.name, len(g.heard), g.all)
		case err != nil && g.attached > 100:
			return err
		}
		host = next
		time.Sleep(5 * time.Millisecond)
	}
}

// attach is one stream's life; it tells where to go next.
func (g *gateway) attach(ctx context.Context, host string) (next string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "x-room-id", g.room)
	if host != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "x-worldmesh-host", host)
	}
	stream, err := g.client.Attach(ctx)
	if err != nil {
		return "", err
	}
	if err := stream.Send(g.open()); err != nil {
		return "", err
	}
	g.attached++
	var speaking sync.WaitGroup
	defer speaking.Wait()
	defer cancel()
	for {
		response, err := stream.Recv()
		if err != nil {
			return "", err
		}
		switch {
		case response.GetMoved() != nil:
			g.sentOn = true
			return response.GetMoved().GetRelayAddress(), nil
		case response.GetOpened() != nil:
			g.openedFirst = g.openedFirst || g.attached == 1
			if response.GetOpened().GetEpoch() < g.epoch { // it has lost the room and does not know yet
				return "", nil
			}
			g.epoch = response.GetOpened().GetEpoch()
			speaking.Go(func() { g.speak(ctx, stream) })
		}
		for _, d := range response.GetDeliveries().GetDeliveries() {
			g.take(d)
		}
	}
}

// speak sends what was not answered: the join, and when both are in the words.
func (g *gateway) speak(ctx context.Context, stream roomv1.RoomService_AttachClient) {
	send := func(inputs []*roomv1.Input) {
		if len(inputs) > 0 { // an error is told by Recv, too
			body := &roomv1.AttachRequest_Inputs_{Inputs: &roomv1.AttachRequest_Inputs{Inputs: inputs}}
			_ = stream.Send(&roomv1.AttachRequest{Body: body})
		}
	}
	join, words := g.unanswered()
	send(join)
	select {
	case <-g.both.met:
		send(words)
	case <-ctx.Done():
	}
}

func (g *gateway) unanswered() (join, words []*roomv1.Input) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, in := range g.inputs {
		if in.GetJoin() != nil {
			join = append(join, in)
		} else {
			words = append(words, in)
		}
	}
	return join, words
}

func (g *gateway) open() *roomv1.AttachRequest {
	open := &roomv1.AttachRequest_Open{
		RoomId: g.room, GatewayId: g.name, Seen: g.seen, Config: &roomv1.RoomConfig{
			Capacity: 10, Width: 40, Depth: 40, TickHz: 20, MaxSpeed: 8, Spawn: &commonv1.Position{X: 1, Z: 1},
		},
	}
	if g.entity != 0 {
		open.Rejoins = []*roomv1.Rejoin{{Link: link, Join: g.join(), Entity: g.entity}}
	}
	return &roomv1.AttachRequest{Body: &roomv1.AttachRequest_Open_{Open: open}}
}

// take is what a gateway does with a delivery, but for passing it on.
func (g *gateway) take(d *roomv1.Delivery) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if entity := d.GetMembership().GetJoinedEntity(); entity != 0 {
		if g.entity == 0 {
			g.both.come()
		}
		g.entity = entity
	}
	if n := d.GetAnswered(); n != 0 {
		for i, in := range g.inputs {
			if in.GetNumber() == n {
				g.inputs = append(g.inputs[:i:i], g.inputs[i+1:]...)
				break
			}
		}
	}
	at := d.GetPosition()
	if at == nil || len(d.GetLinks()) == 0 && !after(at, g.seen) {
		return
	}
	if g.seen != nil && at.GetEpoch() < g.seen.GetEpoch() {
		g.back++
	}
	g.seen = at
	g.hear(d.GetFrame(), place{at.GetEpoch(), at.GetSeq(), at.GetSub()})
}

func (g *gateway) hear(frame []byte, at place) {
	if len(frame) == 0 || statebatch.Is(frame) {
		return
	}
	var body, inner flatbuffers.Table
	root := clientv1.GetRootAsServerFrame(frame, 0)
	if root.BodyType() != clientv1.ServerBodyRoomEvent || !root.Body(&body) {
		return
	}
	var event clientv1.RoomEvent
	event.Init(body.Bytes, body.Pos)
	if event.BodyType() != clientv1.EventBodyChatMessage || !event.Body(&inner) {
		return
	}
	var chat clientv1.ChatMessage
	chat.Init(inner.Bytes, inner.Pos)
	text := string(chat.Text())
	g.heard[text] = append(g.heard[text], at)
	if len(g.heard) == g.all && !g.told {
		g.told = true
		g.done <- struct{}{}
	}
}

// after says whether a place comes after another: epochs do not count, for numbers go on.
func after(a, b *roomv1.LogPosition) bool {
	return b == nil || a.GetSeq() > b.GetSeq() || a.GetSeq() == b.GetSeq() && a.GetSub() > b.GetSub()
}
