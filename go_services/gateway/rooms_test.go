package gateway

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	flatbuffers "github.com/google/flatbuffers/go"
	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
	"github.com/worldmesh/worldmesh/go_services/gateway/roomlink"
	"github.com/worldmesh/worldmesh/go_services/gateway/session"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/internal/kittest"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestTwoInARoomShareAStreamAndHearEachOther(t *testing.T) {
	l := newLab(t, nil)
	ann := l.enter("usr_ann", "plaza")
	bob := l.enter("usr_bob", "plaza")
	for i := range 20 {
		ann.say(fmt.Sprintf(`{"rid":%d,"chat":{"text":"no %d"}}`, 100+i, i))
	}
	for i := range 20 {
		bob.hears(fmt.Sprintf(`"seq":%d,"time_ms":0,"chat_message"`, i+1))
		ann.hears(fmt.Sprintf(`"text":"no %d"`, i))
		ann.hears(fmt.Sprintf(`{"rid":%d,"ok":{}}`, 100+i))
	}
	if stream := <-l.relay.streams; stream.open.GetGatewayId() != "gateway-0" || stream.open.GetConfig().GetCapacity() != 50 {
		t.Errorf("opened with %v", stream.open)
	}
	if len(l.relay.streams) != 0 {
		t.Error("there is more than one stream for the room")
	}
}

func TestBytesOfTheRelayReachFlatBuffersSocketsUntouched(t *testing.T) {
	l := newLab(t, nil)
	ann := l.connect(dialect.FlatBuffers)
	b := flatbuffers.NewBuilder(0)
	token := b.CreateString(l.token("usr_ann"))
	clientv1.HelloStart(b)
	clientv1.HelloAddAccessToken(b, token)
	ann.sendBinary(clientFrame(b, 1, clientv1.ClientBodyHello, clientv1.HelloEnd(b)))
	if welcome, _ := ann.next(); clientv1.GetRootAsServerFrame(welcome, 0).BodyType() != clientv1.ServerBodyWelcome {
		t.Fatalf("no welcome: %q", welcome)
	}
	b = flatbuffers.NewBuilder(0)
	room := b.CreateString("plaza")
	clientv1.JoinStart(b)
	clientv1.JoinAddRoomId(b, room)
	ann.sendBinary(clientFrame(b, 2, clientv1.ClientBodyJoin, clientv1.JoinEnd(b)))
	if snapshot, _ := ann.next(); clientv1.GetRootAsServerFrame(snapshot, 0).BodyType() != clientv1.ServerBodySnapshot {
		t.Fatalf("no snapshot: %q", snapshot)
	}
	d := stateOf(1, 7, 1.5)
	(<-l.relay.streams).deliver(d)
	if got, _ := ann.next(); string(got) != string(d.GetFrame()) {
		t.Errorf("%q became %q", d.GetFrame(), got)
	}
}

func clientFrame(b *flatbuffers.Builder, rid uint32, kind clientv1.ClientBody, body flatbuffers.UOffsetT) []byte {
	clientv1.ClientFrameStart(b)
	clientv1.ClientFrameAddRid(b, rid)
	clientv1.ClientFrameAddBodyType(b, kind)
	clientv1.ClientFrameAddBody(b, body)
	b.FinishWithFileIdentifier(clientv1.ClientFrameEnd(b), []byte("WMC1"))
	return b.FinishedBytes()
}

func TestRoomsThatSayNo(t *testing.T) {
	l := newLab(t, nil)
	ann := l.enter("usr_ann", "")
	ann.say(`{"rid":2,"join":{"room_id":"secret"}}`)
	ann.hears(`{"rid":2,"error":{"reason":"ROOM_NOT_FOUND"`)
	ann.say(`{"rid":3,"join":{"room_id":"full"}}`)
	ann.hears(`{"rid":3,"error":{"reason":"ROOM_FULL"`)
	ann.say(`{"rid":4,"chat":{"text":"hi"}}`)
	ann.hears(`{"rid":4,"error":{"reason":"NOT_IN_ROOM"`)
	ann.say(`{"rid":5,"join":{"room_id":"plaza"}}`)
	ann.hears(`"rid":5,"snapshot"`)
	ann.say(`{"rid":6,"join":{"room_id":"garden"}}`)
	ann.hears(`{"rid":6,"error":{"reason":"ALREADY_IN_ROOM"`)
	ann.say(`{"rid":7,"leave":{}}`)
	ann.hears(`{"rid":7,"ok":{}}`)
	ann.say(`{"rid":8,"join":{"room_id":"garden"}}`)
	ann.hears(`"rid":8,"snapshot"`)
}

func TestWhatFollowsAJoinAtOnceArrivesAfterIt(t *testing.T) {
	l := newLab(t, nil)
	ann := l.enter("usr_ann", "")
	ann.say(`{"rid":2,"join":{"room_id":"plaza"}}`)
	ann.say(`{"rid":3,"chat":{"text":"hi"}}`)
	ann.hears("snapshot")
	ann.hears("chat_message")
	ann.hears(`{"rid":3,"ok":{}}`)
}

// What a member did last may be put back again at the next relay: then it is where it was put back to before, though no tick has
// told of that.
func TestTheNextRelayKnowsWhereAMemberWasPutBackTo(t *testing.T) {
	l := newLab(t, nil)
	ann := l.enter("usr_ann", "plaza")
	first := <-l.relay.streams
	first.deliver(stateOf(1, 1, 3.5), &roomv1.Delivery{
		Channel: roomv1.Channel_CHANNEL_STATE, Links: []uint32{1},
		Frame: frames.NewEncoder().Correction(frames.EntityState{Entity: 1, Position: frames.Vec3{X: 4.5}}),
	})
	ann.hears("state_batch")
	ann.hears("correction")
	first.end(nil)
	if x := (<-l.relay.streams).open.GetRejoins()[0].GetState().GetPosition().GetX(); x != 4.5 {
		t.Errorf("the next relay hears that ann is at %v, and she was told that she is at 4.5", x)
	}
}

func TestALostStreamIsOpenedAgainAndNobodyNotices(t *testing.T) {
	l := newLab(t, nil)
	ann, bob := l.enter("usr_ann", "plaza"), l.enter("usr_bob", "plaza")
	first := <-l.relay.streams
	first.deliver(first.chat("one"), stateOf(1, 1, 3.5))
	for _, p := range []*person{ann, bob} {
		p.hears(`"text":"one"`)
		p.hears("state_batch")
	}
	l.relay.mute.Store(true)
	ann.say(`{"move":{"position":{"x":4,"y":0,"z":0}}}`)
	ann.say(`{"rid":7,"chat":{"text":"two"}}`)
	for said := false; !said; {
		for _, in := range (<-first.messages).GetInputs() {
			said = said || in.GetChat() != nil
		}
	}
	l.relay.mute.Store(false)
	first.end(nil)
	second := <-l.relay.streams
	open := second.open
	if p := open.GetSeen(); p.GetEpoch() != 1 || p.GetSeq() != 1 || len(open.GetRejoins()) != 2 {
		t.Fatalf("opened with %v", open)
	}
	back := open.GetRejoins()[0]
	if back.GetJoin().GetUser().GetUserId() != "usr_ann" || back.GetEntity() != 1 || back.GetState().GetPosition().GetX() != 3.5 {
		t.Errorf("ann rejoins with %v", back)
	}
	batch := <-second.messages
	if chats := batch.GetInputs(); len(chats) != 1 || chats[0].GetChat().GetText() != "two" {
		t.Errorf("repeated: %v", batch)
	}
	if !slices.Equal(batch.GetSteps().GetX(), []float32{4}) || !slices.Equal(batch.GetStepsBefore(), []uint32{0}) {
		t.Errorf("and then %v", batch)
	}
	ann.hears(`"text":"two"`)
	ann.hears(`{"rid":7,"ok":{}}`)
	bob.hears(`"text":"two"`)
	ann.say(`{"rid":8,"move":{"position":{"x":5,"y":0,"z":0}}}`)
	ann.hears(`{"rid":8,"ok":{}}`)
	second.end(nil)
	third := <-l.relay.streams
	if steps := (<-third.messages).GetSteps(); !slices.Equal(steps.GetX(), []float32{5}) {
		t.Errorf("the newest was one that was answered, and repeated is %v", steps)
	}
}

func TestWhoAsksForSomethingOfARoomForWhichTooMuchWaitsIsToldSo(t *testing.T) {
	l := newLab(t, nil)
	ann := l.enter("usr_ann", "plaza")
	<-l.relay.streams
	a := l.attachments["plaza"]
	a.inputs.close() // as good as full
	for _, what := range []string{`"move":{"position":{"x":1,"y":0,"z":0}}`, `"chat":{"text":"hello"}`} {
		ann.say(`{"rid":7,` + what + `}`)
		ann.hears(`{"rid":7,"error":{"reason":"ROOM_UNAVAILABLE","message":"too much waits for the room's relay"`)
	}
}

func TestAStepThatIsToBeAnsweredIsAnsweredOnce(t *testing.T) {
	l := newLab(t, nil)
	ann := l.enter("usr_ann", "plaza")
	first := <-l.relay.streams
	ann.say(`{"rid":7,"move":{"position":{"x":3,"y":0,"z":0}}}`)
	ann.hears(`{"rid":7,"ok":{}}`)
	l.relay.mute.Store(true)
	ann.say(`{"rid":8,"move":{"position":{"x":4,"y":0,"z":0}}}`)
	ann.say(`{"move":{"position":{"x":5,"y":0,"z":0}}}`)
	for steps := 0; steps < 3; {
		batch := <-first.messages
		steps += len(batch.GetSteps().GetLinks())
		for _, in := range batch.GetInputs() {
			if in.GetState() != nil {
				steps++
			}
		}
	}
	l.relay.mute.Store(false)
	first.end(nil)
	ann.hears(`{"rid":8,"ok":{}}`)
	ann.say(`{"rid":9,"chat":{"text":"all"}}`)
	ann.hears("chat_message")
}

func TestTheLastStepOfASocketThatIsCutArrivesBeforeThat(t *testing.T) {
	l := newLab(t, func(g *Gateway) { g.cfg.StateBatch = time.Hour })
	ann := l.enter("usr_ann", "plaza")
	stream := <-l.relay.streams
	<-stream.messages // the join
	ann.say(`{"move":{"position":{"x":1,"y":0,"z":0}}}`)
	ann.say(`{"rid":7,"move":{"position":{"x":2,"y":0,"z":0}}}`)
	ann.say(`{"move":{"position":{"x":3,"y":0,"z":0}}}`)
	ann.say(`{"rid":9,"ping":{"client_time_ms":1}}`)
	ann.hears("pong") // so all before it is heard
	_ = ann.conn.Close()
	batch := <-stream.messages
	if in := batch.GetInputs(); len(in) != 2 || in[0].GetState().GetPosition().GetX() != 2 || in[1].GetDetach() == nil {
		t.Fatalf("it did %v", in)
	}
	if !slices.Equal(batch.GetSteps().GetX(), []float32{1, 3}) || !slices.Equal(batch.GetStepsBefore(), []uint32{1, 2}) {
		t.Errorf("and walked to %v", batch)
	}
}

func TestValuesThatAreTooLongAreAnsweredAndGoNoFurther(t *testing.T) {
	l := newLab(t, nil)
	ann := l.enter("usr_ann", "plaza")
	stream := <-l.relay.streams
	<-stream.messages // the join
	long := base64.StdEncoding.EncodeToString(make([]byte, session.MaxValues+1))
	ann.say(`{"move":{"position":{"x":1,"y":0,"z":0},"values":"` + long + `"}}`)
	ann.hears(`{"error":{"reason":"INVALID_FIELD","message":"values hold 256 bytes at most"`)
	ann.say(`{"move":{"position":{"x":2,"y":0,"z":0}}}`)
	if steps := (<-stream.messages).GetSteps(); !slices.Equal(steps.GetX(), []float32{2}) {
		t.Errorf("the relay hears of %v", steps)
	}
}

func TestAStreamThatHasLastedIsOpenedAgainWhateverHasEndedIt(t *testing.T) {
	l := newLab(t, func(g *Gateway) { g.giveUp = time.Second })
	ann := l.enter("usr_ann", "plaza")
	first := <-l.relay.streams
	time.Sleep(steadyTime + 100*time.Millisecond)
	first.end(status.Error(codes.Internal, "the connection was reset"))
	<-l.relay.streams
	ann.say(`{"rid":9,"chat":{"text":"still here"}}`)
	ann.hears("still here")
}

// What ends one stream after another at once may be what is repeated on each: then it does not go on for ever.
func TestARoomWhoseStreamsAllEndInAnErrorIsGivenUp(t *testing.T) {
	for _, err := range []error{
		status.Error(codes.Internal, "lists that do not agree"),
		status.Error(codes.ResourceExhausted, "the gateway does not take what waits"),
	} {
		t.Run(status.Code(err).String(), func(t *testing.T) {
			l := newLab(t, func(g *Gateway) { g.giveUp = 200 * time.Millisecond })
			ann := l.enter("usr_ann", "plaza")
			over := make(chan struct{})
			defer close(over)
			go func() {
				for {
					select {
					case stream := <-l.relay.streams:
						stream.end(err)
					case <-over:
						return
					}
				}
			}()
			ann.hears(`{"room_left":{"room_id":"plaza","reason":"ROOM_UNAVAILABLE"}}`)
		})
	}
}

func TestWhatIsSentKeepsTheBoundsOfTheContract(t *testing.T) {
	for name, bound := range map[string][2]uint64{
		"inputs": {maxBatch, kittest.Rules(t, &roomv1.AttachRequest_Inputs{}, "inputs").GetRepeated().GetMaxItems()},
		"steps":  {roomlink.MaxSteps, kittest.Rules(t, &roomv1.Steps{}, "links").GetRepeated().GetMaxItems()},
		"values": {session.MaxValues, kittest.Rules(t, &roomv1.Input_State{}, "values").GetBytes().GetMaxLen()},
	} {
		if bound[0] > bound[1] {
			t.Errorf("%s: %d, and by the contract %d", name, bound[0], bound[1])
		}
	}
}

func TestARelayThatIsStuckIsLeft(t *testing.T) {
	l := newLab(t, nil)
	l.relay.address.Store("10.0.0.7:1")
	ann := l.enter("usr_ann", "plaza")
	first := <-l.relay.streams
	time.Sleep(2 * askRelayEvery) // it has said that it lives, and where another is
	l.relay.stuck.Store(true)
	<-first.ended
	l.relay.stuck.Store(false)
	if second := <-l.relay.streams; second.host != "10.0.0.8:1" || len(second.open.GetRejoins()) != 1 {
		t.Errorf("went to %q with %v", second.host, second.open)
	}
	ann.say(`{"rid":9,"chat":{"text":"still here"}}`)
	ann.hears("still here")
}

func TestARoomThatHasMovedIsFollowed(t *testing.T) {
	l := newLab(t, nil)
	ann := l.enter("usr_ann", "plaza")
	first := <-l.relay.streams
	first.move("10.0.0.7:1", 5)
	l.relay.epoch.Store(4) // opened in 5
	second := <-l.relay.streams
	if second.host != "10.0.0.7:1" {
		t.Errorf("attached at %q", second.host)
	}
	ann.say(`{"rid":3,"chat":{"text":"still here"}}`)
	ann.hears("still here")
}

func TestARelayWithAnOlderEpochIsNotBelieved(t *testing.T) {
	l := newLab(t, nil)
	l.relay.epoch.Store(9)
	ann := l.enter("usr_ann", "plaza")
	l.relay.epoch.Store(8)
	(<-l.relay.streams).end(nil)
	old := <-l.relay.streams
	<-old.ended // by the gateway
	if n := counterOf(t, l.registry, "worldmesh_gateway_stale_epochs_total"); n == 0 {
		t.Error("it is not counted")
	}
	l.relay.epoch.Store(10)
	ann.say(`{"rid":3,"chat":{"text":"still here"}}`)
	ann.hears("still here")
}

func TestWhatWasHeardAlreadyIsNotHeardAgain(t *testing.T) {
	l := newLab(t, nil)
	ann := l.enter("usr_ann", "plaza")
	stream := <-l.relay.streams
	one, two := stream.chat("one"), stream.chat("two")
	stream.deliver(one, two, one, two, stream.chat("three"))
	for _, text := range []string{"one", "two", "three"} {
		ann.hears(fmt.Sprintf(`"text":%q`, text))
	}
	again := stream.chat("for ann alone")
	again.Links, again.Position = []uint32{1}, one.Position
	stream.deliver(again)
	ann.hears("for ann alone")
}

func TestARoomThatNoRelayHasIsGivenUp(t *testing.T) {
	l := newLab(t, func(g *Gateway) { g.giveUp = 50 * time.Millisecond })
	ann, bob := l.enter("usr_ann", "plaza"), l.enter("usr_bob", "plaza")
	l.relay.closed.Store(true)
	(<-l.relay.streams).end(nil)
	for _, p := range []*person{ann, bob} {
		p.hears(`{"room_left":{"room_id":"plaza","reason":"ROOM_UNAVAILABLE"}}`)
	}
	l.until("no stream of it is missed any more", func() bool {
		l.outage.mu.Lock()
		defer l.outage.mu.Unlock()
		return len(l.outage.out) == 0 && !l.outage.began.IsZero()
	})
	l.relay.closed.Store(false)
	ann.say(`{"rid":9,"join":{"room_id":"plaza"}}`)
	ann.hears(`"rid":9,"snapshot"`)
}

func TestASocketThatIsCutHoldsItsPlace(t *testing.T) {
	l := newLab(t, nil)
	ann := l.enter("usr_ann", "plaza")
	stream := <-l.relay.streams
	_ = ann.conn.Close()
	for detached := false; !detached; {
		for _, in := range (<-stream.messages).GetInputs() {
			if in.GetLeave() != nil {
				t.Fatal("it has left")
			}
			detached = detached || in.GetDetach().GetGatewaySessionId() != ""
		}
	}
}

func TestARelayThatDoesNotAnswerIsGivenUp(t *testing.T) {
	l := newLab(t, func(g *Gateway) { g.limits.Join = 10 * time.Millisecond })
	l.relay.mute.Store(true)
	ann := l.enter("usr_ann", "")
	ann.say(`{"rid":2,"join":{"room_id":"plaza"}}`)
	ann.hears(`{"rid":2,"error":{"reason":"ROOM_UNAVAILABLE"`)
	l.relay.mute.Store(false)
	ann.say(`{"rid":3,"join":{"room_id":"plaza"}}`)
	ann.hears(`"rid":3,"snapshot"`)
}

func TestASocketThatSaysGoodbyeLeavesItsRoomAndTheLastOneItsStream(t *testing.T) {
	l := newLab(t, func(g *Gateway) { g.linger = 20 * time.Millisecond })
	ann := l.enter("usr_ann", "plaza")
	stream := <-l.relay.streams
	ann.goodbye()
	left := false
	for !left {
		for _, in := range (<-stream.messages).GetInputs() {
			left = left || in.GetLeave() != nil
		}
	}
	<-stream.ended
	l.until("the room is forgotten", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.attachments) == 0
	})
	l.enter("usr_bob", "plaza")
}

func TestStepsWaitForCompanyAndLeaveAllTheSame(t *testing.T) {
	l := newLab(t, func(g *Gateway) { g.cfg.StateBatch = 50 * time.Millisecond })
	ann := l.enter("usr_ann", "plaza")
	stream := <-l.relay.streams
	<-stream.messages // the join
	const steps = 100
	go func() { // one every millisecond: there is never a pause as long as the batch
		for range steps {
			ann.say(`{"move":{"position":{"x":1,"y":0,"z":0}}}`)
			time.Sleep(time.Millisecond)
		}
	}()
	messages, inputs := 0, 0
	for inputs < steps {
		batch := <-stream.messages
		messages, inputs = messages+1, inputs+len(batch.GetSteps().GetLinks())
	}
	if messages < 2 || messages > 20 {
		t.Errorf("%d steps came in %d messages", steps, messages)
	}
}

func TestWhatIsSaidTakesStepsAlongAndKeepsTheOrder(t *testing.T) {
	l := newLab(t, func(g *Gateway) { g.cfg.StateBatch = time.Hour })
	ann := l.enter("usr_ann", "plaza")
	stream := <-l.relay.streams
	<-stream.messages // the join
	ann.say(`{"move":{"position":{"x":1,"y":0,"z":0}}}`)
	ann.say(`{"move":{"position":{"x":2,"y":0,"z":0}}}`)
	ann.say(`{"rid":3,"chat":{"text":"here"}}`)
	ann.hears("chat_message")
	batch := <-stream.messages
	if chats := batch.GetInputs(); len(chats) != 1 || chats[0].GetChat() == nil || !slices.Equal(batch.GetSteps().GetX(), []float32{1, 2}) {
		t.Errorf("arrived as %v", batch)
	}
}

func TestASlowClientGetsNoStateAndIsShownTheNewestWhenItKeepsUp(t *testing.T) {
	l := newLab(t, func(g *Gateway) { g.cfg.QueueBytes = 1 << 20 })
	slow, quick := l.enter("usr_slow", "plaza"), l.enter("usr_quick", "plaza")
	stream := <-l.relay.streams
	client := l.clientOf("usr_slow")
	// Ordered frames to the slow one alone, which reads nothing, until neither end's kernel takes more.
	only := []uint32{client.place.Load().member.Link}
	big := stream.chat(strings.Repeat("x", 30_000))
	big.Links = only
	sent := 0
	for stuck := false; !stuck; {
		stream.deliver(big)
		sent++
		time.Sleep(time.Millisecond)
		stuck = client.socket.Queued() > 100_000
	}
	const ticks = 50
	for i := range ticks {
		stream.deliver(stateOf(uint64(i+1), 7, float32(i)), stateOf(uint64(i+1), 8, float32(-i)))
		quick.hears(`"state_batch":{"tick":`)
		quick.hears(`"state_batch":{"tick":`)
	}
	states := 0
	for read := 0; read < sent; read++ {
		if message, _ := slow.next(); strings.Contains(string(message), "state_batch") {
			states, read = states+1, read-1
		}
	}
	// Nothing more is delivered: it is asked for what was missed.
	look := stream.asked()
	if !look.GetLook().GetView() || look.GetLink() != only[0] {
		t.Errorf("asked for %v", look)
	}
	again := stateOf(50, 7, 49)
	again.Links = only
	stream.deliver(again)
	slow.hears(`"state_batch":{"tick":50,`)
	if states > 2 {
		t.Errorf("%d states were queued for a slow client", states)
	}
}

// rosterOf is a part of a roster, for single members.
func rosterOf(last bool, links []uint32, entities ...uint32) *roomv1.Delivery {
	roster := frames.Roster{Last: last}
	for _, entity := range entities {
		id := fmt.Sprintf("usr_%d", entity)
		roster.Members = append(roster.Members, frames.Member{
			User: frames.User{ID: id, Username: id}, State: frames.EntityState{Entity: entity},
		})
	}
	return &roomv1.Delivery{Frame: frames.NewEncoder().Roster(roster), Links: links}
}

func TestARosterIsAskedForPartByPartAndOnAnotherStreamFromWhereItWas(t *testing.T) {
	l := newLab(t, nil)
	ann := l.enter("usr_ann", "crowded")
	first := <-l.relay.streams
	link := []uint32{l.clientOf("usr_ann").place.Load().member.Link}
	first.deliver(rosterOf(false, link, 1, 2))
	ann.hears(`"roster":{"members":[{"user":{"user_id":"usr_1"`)
	if look := first.asked().GetLook(); look.GetView() || !look.GetRoster() || look.GetAfterEntity() != 2 {
		t.Errorf("asked for %v", look)
	}
	first.deliver(rosterOf(false, link, 3, 4))
	ann.hears("usr_4")
	first.end(nil)
	second := <-l.relay.streams
	if look := second.asked().GetLook(); !look.GetRoster() || look.GetAfterEntity() != 4 {
		t.Errorf("asked on the second stream for %v", look)
	}
	second.deliver(rosterOf(true, link, 5))
	ann.hears(`"last":true`)
	second.end(nil)
	third := <-l.relay.streams
	ann.say(`{"rid":3,"chat":{"text":"still here"}}`)
	ann.hears("still here")
	for len(third.messages) > 0 {
		for _, in := range (<-third.messages).GetInputs() {
			if in.GetLook() != nil {
				t.Errorf("asks for more than there is: %v", in)
			}
		}
	}
}

func TestAClientThatReadsNothingIsClosedAndNobodyElseNotices(t *testing.T) {
	l := newLab(t, nil)
	slow, quick := l.enter("usr_slow", "plaza"), l.enter("usr_quick", "plaza")
	stream := <-l.relay.streams
	closed := func() bool { return l.clientOf("usr_slow") == nil || l.clientOf("usr_slow").socket.Closed() }
	for !closed() {
		stream.deliver(stream.chat(strings.Repeat("x", 10_000)))
		quick.hears("chat_message")
	}
	quick.say(`{"rid":4,"chat":{"text":"still here"}}`)
	quick.hears("still here")
	for {
		message, code := slow.next()
		if code == 4001 {
			break
		}
		if code != 0 || !strings.Contains(string(message), "chat_message") && !strings.Contains(string(message), "SLOW_CONSUMER") {
			t.Fatalf("heard %.100s, %d", message, code)
		}
	}
}

func (l *lab) clientOf(user string) *client {
	for _, c := range l.all() {
		if c.view().GetUserId() == user {
			return c
		}
	}
	return nil
}
