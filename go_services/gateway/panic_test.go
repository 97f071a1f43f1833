package gateway

import (
	"context"
	"testing"
	"time"

	flatbuffers "github.com/google/flatbuffers/go"
	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
)

func TestAFrameAtWhichTheGatewayPanicsEndsItsSocketAlone(t *testing.T) {
	for _, d := range []dialect.Dialect{dialect.JSON, dialect.FlatBuffers} {
		t.Run(d.String(), func(t *testing.T) {
			l := newLab(t, func(g *Gateway) { delete(g.metrics.received, "hello") })
			other := l.connect(dialect.JSON)
			ann := l.connect(d)
			ann.t = t
			if d == dialect.JSON {
				ann.say(`{"rid":1,"hello":{"access_token":"a"}}`)
				ann.closed(1011, "INTERNAL")
			} else {
				b := flatbuffers.NewBuilder(0)
				token := b.CreateString("a")
				clientv1.HelloStart(b)
				clientv1.HelloAddAccessToken(b, token)
				ann.sendBinary(clientFrame(b, 1, clientv1.ClientBodyHello, clientv1.HelloEnd(b)))
				if _, code := ann.next(); code != 0 {
					t.Fatalf("no error comes before close code %d", code)
				}
				if _, code := ann.next(); code != 1011 {
					t.Fatalf("close code %d", code)
				}
			}
			other.say(`{"rid":1,"ping":{}}`)
			other.closed(1008, "HELLO_EXPECTED")
		})
	}
}

func TestACallAtWhichTheGatewayPanicsEndsItsSocketAlone(t *testing.T) {
	l := newLab(t, func(g *Gateway) { g.caller = nil })
	ann := l.enter("usr_ann", "plaza")
	ann.say(`{"rid":3,"call":{"method":"worldmesh.identity.v1.IdentityService/GetSelf","request":{}}}`)
	ann.closed(1011, "INTERNAL")
	l.until("she is out", func() bool { return l.count.Load() == 0 })
}

func TestWhoseSocketAPanicHasClosedMayComeBack(t *testing.T) {
	l := newLab(t, func(g *Gateway) { delete(g.metrics.received, "emote") })
	ann := l.enter("usr_ann", "plaza")
	stream := <-l.relay.streams
	ann.say(`{"rid":3,"emote":{"emote_id":"wave"}}`)
	ann.closed(1011, "INTERNAL")
	for {
		for _, in := range (<-stream.messages).GetInputs() {
			if in.GetLeave() != nil {
				t.Fatal("she has left for good")
			}
			if in.GetDetach() != nil {
				return // her place is kept
			}
		}
	}
}

func TestARoomAtWhichTheGatewayPanicsIsGivenUpAlone(t *testing.T) {
	for name, fail := range map[string]func(*attachment, *fakeStream){
		"at what the relay says": func(a *attachment, relay *fakeStream) {
			a.mu.Lock()
			a.members = nil
			a.mu.Unlock()
			relay.deliver(stateOf(1, 7, 1.5))
		},
		"as it writes": func(a *attachment, relay *fakeStream) {
			a.mu.Lock()
			a.inside[0].socket = nil
			a.mu.Unlock()
			relay.deliver(stateOf(1, 7, 1.5))
		},
		"as it writes what was held": func(a *attachment, _ *fakeStream) {
			a.mu.Lock()
			a.inside[0].socket = nil
			a.fan.all.add(stateOf(1, 7, 1.5).GetFrame())
			a.writeSoon()
			a.mu.Unlock()
		},
		"as it writes, and more has come": func(a *attachment, relay *fakeStream) {
			a.mu.Lock()
			a.inside[0].socket = nil
			a.inside[0].from = 1
			a.fan.all.add(stateOf(1, 7, 1.5).GetFrame())
			a.writeSoon()
			a.mu.Unlock()
			for !a.isOver() {
				time.Sleep(time.Millisecond)
			}
			a.deliver(context.Background(), relay.left("usr_nobody"))
		},
		"as it asks for what was missed": func(a *attachment, _ *fakeStream) {
			a.mu.Lock()
			m := a.inside[0]
			m.missed, m.socket = true, nil
			a.mu.Unlock()
			a.catchUp(m.Link)
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, nil)
			ann := l.enter("usr_ann", "plaza")
			relay := <-l.relay.streams
			bob := l.enter("usr_bob", "garden")
			l.mu.Lock()
			plaza := l.attachments["plaza"]
			l.mu.Unlock()
			fail(plaza, relay)
			ann.hears(`{"room_left":{"room_id":"plaza","reason":"ROOM_UNAVAILABLE"}}`)
			if n := counterOf(t, l.registry, "worldmesh_gateway_panics_total"); n != 1 {
				t.Errorf("%v panics are counted", n)
			}
			ann.say(`{"rid":3,"join":{"room_id":"plaza"}}`)
			ann.hears(`"rid":3,"snapshot"`)
			bob.say(`{"rid":3,"ping":{}}`)
			bob.hears(`"rid":3,"pong"`)
		})
	}
}
