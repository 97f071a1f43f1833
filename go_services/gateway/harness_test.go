package gateway

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/prometheus/client_golang/prometheus"
	identityv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/identity/v1"
	presencev1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/presence/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	worldv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/world/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
	"github.com/worldmesh/worldmesh/go_services/gateway/socket"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lab is a gateway between fakes of the other services and real sockets.
type lab struct {
	*Gateway
	t        *testing.T
	addr     string
	registry *prometheus.Registry
	identity *fakeIdentity
	world    *fakeWorld
	relay    *fakeRelay
	presence *fakePresence
}

func newLab(t *testing.T, change func(*Gateway)) *lab {
	t.Helper()
	l := &lab{
		t: t, registry: prometheus.NewRegistry(),
		identity: &fakeIdentity{keys: map[string]ed25519.PrivateKey{}},
		world:    &fakeWorld{},
		relay:    &fakeRelay{streams: make(chan *fakeStream, 16)},
		presence: &fakePresence{
			devices: map[string]*presencev1.AttachRequest_Change{}, streams: map[uint32]context.CancelFunc{},
		},
	}
	l.identity.addKey("k1")
	mesh := l.serveFakes()
	ctx, cancel := context.WithCancel(context.Background())
	g, err := newGateway(ctx, mesh, l.registry, slog.New(slog.DiscardHandler), Config{
		Config: kit.Config{Instance: "gateway-0", DrainSeconds: 0.05}, MaxSockets: 100, QueueBytes: 32 << 10,
		StateBatch: 5 * time.Millisecond, DescriptorSet: "../../gen/descriptors.binpb",
	})
	if err != nil {
		t.Fatal(err)
	}
	l.Gateway = g
	for _, s := range g.presence.shards {
		s.lostTime = 0
	}
	if change != nil {
		change(g)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.addr = tcp.Addr().String()
	listening, stop := context.WithCancel(ctx)
	stopped := make(chan error)
	go func() { stopped <- g.listener(nil).Run(listening, tcp) }()
	g.startParts()
	t.Cleanup(func() {
		stop()
		<-stopped
		draining, done := context.WithTimeout(context.Background(), time.Second)
		g.drain(draining)
		done()
		cancel()
		g.running.Wait()
		l.until("all sockets are gone", func() bool { return g.count.Load() == 0 })
	})
	return l
}

// serveFakes starts the fakes behind one channel, as the mesh is one.
func (l *lab) serveFakes() *grpc.ClientConn {
	server := grpc.NewServer()
	identityv1.RegisterIdentityServiceServer(server, l.identity)
	worldv1.RegisterWorldServiceServer(server, l.world)
	roomv1.RegisterRoomServiceServer(server, l.relay)
	presencev1.RegisterPresenceServiceServer(server, l.presence)
	pipe := bufconn.Listen(1 << 20)
	served := make(chan error)
	go func() { served <- server.Serve(pipe) }()
	mesh, err := grpc.NewClient("passthrough:///mesh", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return pipe.DialContext(ctx) }))
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		_ = mesh.Close()
		server.Stop()
		<-served
	})
	return mesh
}

// until waits for a condition.
func (l *lab) until(what string, holds func() bool) {
	l.t.Helper()
	for end := time.Now().Add(10 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			l.t.Fatalf("never: %s", what)
		}
	}
}

func (l *lab) token(user string) string { return l.identity.token(l.t, "k1", user, "ses_"+user, nil) }

// person is a client that reads everything as it comes, in the JSON dialect.
type person struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func (l *lab) connect(d dialect.Dialect) *person {
	l.t.Helper()
	dialer := ws.Dialer{Protocols: []string{dialect.Subprotocols[d]}}
	conn, early, _, err := dialer.Dial(context.Background(), "ws://"+l.addr+socket.Path)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = conn.Close() })
	if early == nil {
		early = bufio.NewReader(conn)
	}
	return &person{l.t, conn, early}
}

// enter connects, says hello and joins a room.
func (l *lab) enter(user, room string) *person {
	l.t.Helper()
	p := l.connect(dialect.JSON)
	p.say(`{"rid":1,"hello":{"access_token":"` + l.token(user) + `","device_name":"web"}}`)
	p.hears(`"rid":1,"welcome"`)
	if room != "" {
		p.say(`{"rid":2,"join":{"room_id":"` + room + `"}}`)
		p.hears(`"rid":2,"snapshot"`)
	}
	return p
}

func (p *person) say(frame string) {
	p.t.Helper()
	if err := wsutil.WriteClientText(p.conn, []byte(frame)); err != nil {
		p.t.Fatal(err)
	}
}

// goodbye closes the socket as a client does that is done.
func (p *person) goodbye() {
	p.t.Helper()
	frame := ws.MaskFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, "")))
	if err := ws.WriteFrame(p.conn, frame); err != nil {
		p.t.Fatal(err)
	}
}

func (p *person) sendBinary(frame []byte) {
	p.t.Helper()
	if err := wsutil.WriteClientBinary(p.conn, frame); err != nil {
		p.t.Fatal(err)
	}
}

// next is the next message, or the code that the socket was closed with.
func (p *person) next() ([]byte, ws.StatusCode) {
	p.t.Helper()
	_ = p.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	header, err := ws.ReadHeader(p.in)
	if err != nil {
		p.t.Fatalf("read: %v", err)
	}
	payload := make([]byte, header.Length)
	if _, err := io.ReadFull(p.in, payload); err != nil {
		p.t.Fatalf("read: %v", err)
	}
	if header.OpCode == ws.OpClose {
		code, _ := ws.ParseCloseFrameData(payload)
		return nil, code
	}
	return payload, 0
}

// hears wants the next message to hold something, and returns it.
func (p *person) hears(part string) string {
	p.t.Helper()
	message, code := p.next()
	if !strings.Contains(string(message), part) {
		p.t.Fatalf("heard %s (close code %d), not %s", message, code, part)
	}
	if !json.Valid(message) {
		p.t.Fatalf("heard no JSON: %s", message)
	}
	return string(message)
}

// closed wants the socket closed, after nothing but an error that says the reason.
func (p *person) closed(code ws.StatusCode, reason string) {
	p.t.Helper()
	said := false
	for {
		message, got := p.next()
		if got == code && said {
			_ = p.conn.Close()
			return
		}
		if got != 0 || !strings.Contains(string(message), `"reason":"`+reason+`"`) {
			p.t.Fatalf("heard %s, close code %d; not %s, then %d", message, got, reason, code)
		}
		said = true
	}
}

// gone waits until the gateway has cut the connection.
func (p *person) gone() {
	p.t.Helper()
	_ = p.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	var timeout net.Error
	if _, err := io.Copy(io.Discard, p.in); errors.As(err, &timeout) && timeout.Timeout() {
		p.t.Fatal("the connection stays open")
	}
}
