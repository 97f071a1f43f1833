package gateway

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"sync/atomic"
	"testing"
	"time"

	presencev1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/presence/v1"
	"google.golang.org/grpc"
)

func TestPresenceKnowsWhoIsWhere(t *testing.T) {
	l := newLab(t, nil)
	is := func(want map[string]string) {
		t.Helper()
		l.until("presence knows", func() bool { return maps.Equal(l.presence.where(), want) })
	}
	ann, bob := l.enter("usr_ann", ""), l.enter("usr_bob", "plaza")
	is(map[string]string{"usr_ann": "web@", "usr_bob": "web@plaza"})
	ann.say(`{"rid":2,"join":{"room_id":"garden"}}`)
	is(map[string]string{"usr_ann": "web@garden", "usr_bob": "web@plaza"})
	bob.say(`{"rid":3,"leave":{}}`)
	is(map[string]string{"usr_ann": "web@garden", "usr_bob": "web@"})
	_ = bob.conn.Close()
	is(map[string]string{"usr_ann": "web@garden"})
}

func TestSocketsDoNotNoticeThatPresenceIsDownAndItLearnsWhatIsTrueThen(t *testing.T) {
	l := newLab(t, nil)
	l.presence.down.Store(true)
	ann, bob := l.enter("usr_ann", "plaza"), l.enter("usr_bob", "plaza")
	ann.say(`{"rid":3,"chat":{"text":"hi"}}`)
	bob.hears("chat_message")
	_ = bob.conn.Close()
	l.presence.down.Store(false)
	want := map[string]string{"usr_ann": "web@plaza"}
	l.until("presence is told when it is back", func() bool { return maps.Equal(l.presence.where(), want) })

	l.presence.cut() // it restarts and has forgotten everything
	l.until("presence is told again", func() bool { return maps.Equal(l.presence.where(), want) })
}

// brokenStream takes the open and nothing after it; that it is broken its reader hears a moment later.
type brokenStream struct {
	presencev1.PresenceService_AttachClient
	t       *testing.T
	sent    int
	broken  chan struct{}
	readers atomic.Int32
}

// brokenPresence attaches to a brokenStream.
type brokenPresence struct {
	presencev1.PresenceServiceClient
	stream *brokenStream
}

func (p brokenPresence) Attach(context.Context, ...grpc.CallOption) (presencev1.PresenceService_AttachClient, error) {
	return p.stream, nil
}

var errBroken = errors.New("broken for a reason")

func (s *brokenStream) Send(*presencev1.AttachRequest) error {
	s.sent++
	if s.sent == 1 {
		return nil
	}
	time.AfterFunc(50*time.Millisecond, func() { close(s.broken) })
	return io.EOF
}

func (s *brokenStream) Recv() (*presencev1.AttachResponse, error) {
	if s.readers.Add(1) > 1 {
		s.t.Error("a stream is read by two at once")
	}
	defer s.readers.Add(-1)
	<-s.broken
	return nil, errBroken
}

func TestWhyAPresenceStreamBrokeIsHeardByItsReaderAlone(t *testing.T) {
	client := brokenPresence{stream: &brokenStream{t: t, broken: make(chan struct{})}}
	s := newPresence(client, "gateway-0", slog.New(slog.DiscardHandler)).shards[0]
	if err := s.follow(context.Background(), &backoff{}); !errors.Is(err, errBroken) {
		t.Errorf("it ended with %v", err)
	}
}
