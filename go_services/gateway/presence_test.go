package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	presencev1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/presence/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/session"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/internal/shardkey"
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

func TestWhoComesAndGoesWhilePresenceIsDownIsNotKept(t *testing.T) {
	s := newPresence(nil, "gateway-0", slog.New(slog.DiscardHandler)).shards[0]
	for _, when := range []string{"before the first stream", "after a stream broke"} {
		for i := range 100 {
			c := &presencev1.AttachRequest_Change{
				UserId: "usr_ann", Device: &presencev1.Device{GatewaySessionId: fmt.Sprint("s", i)},
			}
			s.set(c)
			s.set(&presencev1.AttachRequest_Change{UserId: c.GetUserId(), Device: c.GetDevice(), Gone: true})
		}
		if kept := len(s.dirty) + len(s.sessions); kept > 0 {
			t.Errorf("%s %d are kept", when, kept)
		}
		if !s.behind() {
			t.Errorf("%s the shard is said to know everything", when)
		}
		s.client = brokenPresence{stream: &brokenStream{t: t, broken: make(chan struct{})}}
		_ = s.follow(t.Context(), &backoff{})
	}
}

// A room's news of somebody may be on its way while the socket ends.
func TestWhoIsGoneIsNotMovedAnyMore(t *testing.T) {
	now := time.Now()
	c := &client{session: session.New("gws_1", session.DefaultLimits(), now)}
	c.session.TokenChecked(now, 1, session.Token{
		User: session.User{User: frames.User{ID: "usr_ann"}, Scopes: []string{"client"}}, Expires: now.Add(time.Hour),
	}, commonv1.ErrorReason_ERROR_REASON_UNSPECIFIED)
	p := newPresence(nil, "gateway-0", slog.New(slog.DiscardHandler))
	online := func() (n int) {
		for _, s := range p.shards {
			n += len(s.sessions)
		}
		return n
	}
	if p.moved(c); online() != 1 {
		t.Fatalf("%d are online", online())
	}
	p.gone(c)
	if p.moved(c); online() != 0 {
		t.Errorf("%d are online for ever", online())
	}
}

// patientStream acknowledges what it is told, after it has shown it to the test.
type patientStream struct {
	presencev1.PresenceService_AttachClient
	ctx  context.Context //nolint:containedctx // the stream's
	told chan *presencev1.AttachRequest
	acks chan uint64
}

func (s *patientStream) Attach(ctx context.Context, _ ...grpc.CallOption) (presencev1.PresenceService_AttachClient, error) {
	s.ctx = ctx
	return s, nil
}

func (s *patientStream) Send(request *presencev1.AttachRequest) error {
	select {
	case s.told <- request:
		return nil
	case <-s.ctx.Done():
		return io.EOF
	}
}

func (s *patientStream) Recv() (*presencev1.AttachResponse, error) {
	select {
	case seq := <-s.acks:
		return &presencev1.AttachResponse{AckedSeq: seq}, nil
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}

// patientPresence opens a patientStream.
type patientPresence struct {
	presencev1.PresenceServiceClient
	*patientStream
}

func (p patientPresence) Attach(ctx context.Context, options ...grpc.CallOption) (presencev1.PresenceService_AttachClient, error) {
	return p.patientStream.Attach(ctx, options...)
}

func TestManySessionsAreToldInPartsAndAsTheyAreByThen(t *testing.T) {
	stream := &patientStream{told: make(chan *presencev1.AttachRequest), acks: make(chan uint64, 1)}
	s := newPresence(patientPresence{patientStream: stream}, "gateway-0", slog.New(slog.DiscardHandler)).shards[0]
	say := func(session, room string, gone bool) {
		s.set(&presencev1.AttachRequest_Change{
			UserId: "usr_ann", Device: &presencev1.Device{GatewaySessionId: session, RoomId: room}, Gone: gone,
		})
	}
	want := map[string]string{}
	for i := range 2*maxChanges + 10 {
		say(fmt.Sprint("s", i), "plaza", false)
		want[fmt.Sprint("s", i)] = "plaza"
	}
	ctx, cancel := context.WithCancel(context.Background())
	var following sync.WaitGroup
	following.Go(func() { _ = s.follow(ctx, &backoff{}) })
	defer following.Wait()
	defer cancel()

	<-stream.told // open
	knows := map[string]string{}
	var parts []int
	for more := true; more; {
		part := (<-stream.told).GetSnapshot()
		for _, c := range part.GetChanges() {
			knows[c.GetDevice().GetGatewaySessionId()] = c.GetDevice().GetRoomId()
		}
		if parts = append(parts, len(part.GetChanges())); len(parts) == 1 { // meanwhile somebody leaves, moves, comes
			for i := range 20 {
				say(fmt.Sprint("s", i), "", true)
				delete(want, fmt.Sprint("s", i))
				say(fmt.Sprint("s", 100+i), "garden", false)
				want[fmt.Sprint("s", 100+i)] = "garden"
				say(fmt.Sprint("new", i), "plaza", false)
				want[fmt.Sprint("new", i)] = "plaza"
			}
		}
		more = part.GetMore()
		stream.acks <- part.GetSeq()
	}
	if len(parts) != 3 || parts[0] != maxChanges {
		t.Errorf("the parts have %v sessions", parts)
	}
	for _, c := range (<-stream.told).GetChanges().GetChanges() {
		if c.GetGone() {
			delete(knows, c.GetDevice().GetGatewaySessionId())
		} else {
			knows[c.GetDevice().GetGatewaySessionId()] = c.GetDevice().GetRoomId()
		}
	}
	if !maps.Equal(knows, want) {
		t.Errorf("it knows %d sessions, want %d", len(knows), len(want))
	}
}

func TestWhoLosesTheConnectionIsSaidToBeGoneAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := &patientStream{told: make(chan *presencev1.AttachRequest), acks: make(chan uint64, 1)}
		p := newPresence(patientPresence{patientStream: stream}, "gateway-0", slog.New(slog.DiscardHandler))
		says := func(id, token string, goodbye bool) (s *presenceShard, leaves func()) {
			now := time.Now()
			c := &client{session: session.New(id, session.DefaultLimits(), now)}
			c.session.TokenChecked(now, 1, session.Token{
				User: session.User{User: frames.User{ID: "usr_ann"}, SessionID: token, Scopes: []string{"client"}}, Expires: now.Add(time.Hour),
			}, commonv1.ErrorReason_ERROR_REASON_UNSPECIFIED)
			p.moved(c)
			return p.shards[shardkey.Of("usr_ann")], func() {
				c.session.Closed(goodbye)
				p.gone(c)
			}
		}
		s, loses := says("gws_lost", "ses_1", false)
		_, goes := says("gws_goodbye", "ses_1", true)
		_, losesToo := says("gws_revoked", "ses_2", false)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = s.follow(ctx, &backoff{}) }()
		<-stream.told // open
		gone := map[string]time.Duration{}
		loses()
		losesToo()
		goes()
		p.revoked("usr_ann", "ses_2")
		for began := time.Now(); time.Since(began) < 2*lostTime; { // there is a word each second
			r := <-stream.told
			for _, c := range r.GetChanges().GetChanges() {
				if c.GetGone() {
					gone[c.GetDevice().GetGatewaySessionId()] = time.Since(began)
				}
			}
			stream.acks <- max(r.GetSnapshot().GetSeq(), r.GetChanges().GetSeq())
		}
		if after := gone["gws_lost"]; after < lostTime || after > lostTime+tellsEvery || gone["gws_goodbye"] > changesPause {
			t.Errorf("gone: %v", gone)
		}
		if after, told := gone["gws_revoked"]; !told || after > changesPause {
			t.Errorf("gone: %v", gone)
		}
	})
}

func TestAShardThatHangsIsNoticedThoughNobodyComesOrGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := &patientStream{told: make(chan *presencev1.AttachRequest), acks: make(chan uint64, 1)}
		s := newPresence(patientPresence{patientStream: stream}, "gateway-0", slog.New(slog.DiscardHandler)).shards[0]
		failed := make(chan error, 1)
		go func() { failed <- s.follow(t.Context(), &backoff{}) }()
		<-stream.told // open
		stream.acks <- (<-stream.told).GetSnapshot().GetSeq()
		for range 3 {
			changes := (<-stream.told).GetChanges()
			if len(changes.GetChanges()) > 0 {
				t.Errorf("told %v", changes)
			}
			stream.acks <- changes.GetSeq()
		}
		began := time.Now()
		<-stream.told
		const settle = 5 * time.Second // of presence
		if err := <-failed; !errors.Is(err, errNoAck) || time.Since(began) >= settle {
			t.Errorf("ended with %v after %v", err, time.Since(began))
		}
	})
}

func TestChangesThatFollowOneAnotherShareAMessage(t *testing.T) {
	synctest.Test(t, changesThatFollowOneAnother)
}

func changesThatFollowOneAnother(t *testing.T) {
	stream := &patientStream{told: make(chan *presencev1.AttachRequest), acks: make(chan uint64, 1)}
	s := newPresence(patientPresence{patientStream: stream}, "gateway-0", slog.New(slog.DiscardHandler)).shards[0]
	var following sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	following.Go(func() { _ = s.follow(ctx, &backoff{}) })
	defer following.Wait()
	defer cancel()
	<-stream.told // open
	comes := func(session string) {
		s.set(&presencev1.AttachRequest_Change{
			UserId: "usr_ann", Device: &presencev1.Device{GatewaySessionId: session},
		})
	}
	hears := func() int {
		r := <-stream.told
		stream.acks <- max(r.GetSnapshot().GetSeq(), r.GetChanges().GetSeq())
		return len(r.GetChanges().GetChanges())
	}
	hears() // the snapshot
	comes("first")
	if n := hears(); n != 1 {
		t.Errorf("the first is told with %d", n)
	}
	comes("second")
	time.Sleep(changesPause / 5) // long enough for a message of its own
	comes("third")
	if n := hears(); n != 2 {
		t.Errorf("%d are told after it, want 2 in one message", n)
	}
}
