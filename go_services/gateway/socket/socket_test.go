package socket

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lab is a listener and what it accepted.
type lab struct {
	t       *testing.T
	addr    string
	tls     *tls.Config // of clients
	sockets chan served
	places  chan struct{}
	large   *Budget
	turns   *Turns // one
}

// served is a socket that its listener waits for.
type served struct {
	*Socket
	finish func()
}

// open starts a listener whose sockets wait in a channel; the test that takes one serves it.
func open(t *testing.T, secure bool, change func(*Listener)) *lab {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{
		t: t, addr: tcp.Addr().String(), sockets: make(chan served), places: make(chan struct{}, 8), large: NewBudget(1 << 20),
		turns: NewTurns(1),
	}
	done := make(chan struct{})
	listener := &Listener{
		Origins: []string{"https://world.example"}, QueueBytes: 64 << 10, Large: l.large, Turns: l.turns, Log: slog.New(slog.DiscardHandler),
		Acquire: func() bool {
			select {
			case l.places <- struct{}{}:
				return true
			default:
				return false
			}
		},
		Release: func() { <-l.places },
		Serve: func(s *Socket) {
			finished, finish := context.WithCancel(context.Background())
			select {
			case l.sockets <- served{s, finish}:
				select {
				case <-finished.Done():
				case <-done:
				}
			case <-done:
			}
			finish()
		},
	}
	if secure {
		listener.TLS, l.tls = certificates(t)
	}
	if change != nil {
		change(listener)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error)
	go func() { stopped <- listener.Run(ctx, tcp) }()
	t.Cleanup(func() {
		cancel()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		close(done)
	})
	return l
}

// dial opens a client's end, after the handshake.
func (l *lab) dial(d dialect.Dialect) net.Conn {
	l.t.Helper()
	return l.offer(dialect.Subprotocols[d])
}

// offer opens a client's end with any subprotocol.
func (l *lab) offer(subprotocol string) net.Conn {
	l.t.Helper()
	return l.offerFrom("127.0.0.1", subprotocol)
}

// offerFrom opens a client's end from an address; this machine has all that begin with 127.
func (l *lab) offerFrom(address, subprotocol string) net.Conn {
	l.t.Helper()
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	dialer := ws.Dialer{
		Protocols: []string{subprotocol}, TLSConfig: l.tls, Timeout: 5 * time.Second, NetDial: from.DialContext,
	}
	scheme := "ws://"
	if l.tls != nil {
		scheme = "wss://"
	}
	conn, early, _, err := dialer.Dial(context.Background(), scheme+l.addr+Path)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = conn.Close() })
	if early != nil {
		return &buffered{conn, early}
	}
	return conn
}

// buffered is a connection of which something was read together with the handshake.
type buffered struct {
	net.Conn
	early *bufio.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.early.Read(p) }

// pair is both ends of a socket.
func (l *lab) pair(d dialect.Dialect) (served, net.Conn) {
	l.t.Helper()
	conn := l.dial(d)
	return <-l.sockets, conn
}

func certificates(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		&tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}
}

// readClose reads frames until the close frame, and says how many there were before it.
func readClose(t *testing.T, conn net.Conn) (code ws.StatusCode, before int) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	for {
		f, err := ws.ReadFrame(conn)
		if err != nil {
			t.Fatalf("no close frame after %d frames: %v", before, err)
		}
		if f.Header.OpCode == ws.OpClose {
			code, _ = ws.ParseCloseFrameData(f.Payload)
			return code, before
		}
		before++
	}
}

// serveAll reads a socket to its end as the gateway does.
func serveAll(s served, f func([]byte)) error {
	for {
		err := s.Read(f)
		var violation *Violation
		if errors.As(err, &violation) {
			s.Close(violation.Code, violation.Reason)
		}
		if err != nil {
			s.finish()
			return err
		}
	}
}

func frameOf(t *testing.T, f ws.Frame, masked bool) []byte {
	t.Helper()
	if masked {
		f = ws.MaskFrame(f)
	}
	var b bytes.Buffer
	if err := ws.WriteFrame(&b, f); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestMessagesThatBreakTheRules(t *testing.T) {
	part := func(op ws.OpCode, fin bool, p string) ws.Frame { return ws.NewFrame(op, fin, []byte(p)) }
	reserved := part(ws.OpBinary, true, "x")
	reserved.Header.Rsv = 4
	many := []ws.Frame{part(ws.OpBinary, false, "a")}
	for range maxFragments + 1 {
		many = append(many, part(ws.OpContinuation, false, ""))
	}
	tests := map[string]struct {
		dialect  dialect.Dialect
		frames   []ws.Frame
		unmasked bool
		code     ws.StatusCode
	}{
		"not masked":                      {frames: []ws.Frame{part(ws.OpBinary, true, "x")}, unmasked: true, code: 1002},
		"an extension nobody agreed on":   {frames: []ws.Frame{reserved}, code: 1002},
		"a reserved opcode":               {frames: []ws.Frame{part(5, true, "x")}, code: 1002},
		"a ping that is too long":         {frames: []ws.Frame{part(ws.OpPing, true, string(make([]byte, 126)))}, code: 1002},
		"a ping in parts":                 {frames: []ws.Frame{part(ws.OpPing, false, "x")}, code: 1002},
		"nothing to continue":             {frames: []ws.Frame{part(ws.OpContinuation, true, "x")}, code: 1002},
		"a message within a message":      {frames: []ws.Frame{part(ws.OpBinary, false, "x"), part(ws.OpBinary, true, "y")}, code: 1002},
		"too many parts":                  {frames: many, code: 1002},
		"text for FlatBuffers":            {frames: []ws.Frame{part(ws.OpText, true, "x")}, code: 1008},
		"binary for JSON":                 {dialect: dialect.JSON, frames: []ws.Frame{part(ws.OpBinary, true, "x")}, code: 1008},
		"not UTF-8":                       {dialect: dialect.JSON, frames: []ws.Frame{part(ws.OpText, true, "\xff")}, code: 1007},
		"too large":                       {frames: []ws.Frame{part(ws.OpBinary, true, string(make([]byte, MaxMessage+1)))}, code: 1009},
		"too large in parts":              {frames: []ws.Frame{part(ws.OpBinary, false, string(make([]byte, MaxMessage))), part(ws.OpContinuation, true, "x")}, code: 1009},
		"a close frame with a wrong code": {frames: []ws.Frame{ws.NewCloseFrame(ws.NewCloseFrameBody(1005, ""))}, code: 1002},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			socket, conn := open(t, false, nil).pair(test.dialect)
			socket.AllowLarge()
			ended := make(chan error)
			go func() { ended <- serveAll(socket, func([]byte) { t.Error("a broken message was handed out") }) }()
			go func() {
				for _, f := range test.frames {
					_, _ = conn.Write(frameOf(t, f, !test.unmasked))
				}
			}()
			if code, _ := readClose(t, conn); code != test.code {
				t.Errorf("closed with %d, not %d", code, test.code)
			}
			_ = conn.Close()
			<-ended
		})
	}
}

func TestAMessageInPartsWithAPingBetweenThem(t *testing.T) {
	socket, conn := open(t, false, nil).pair(dialect.JSON)
	var got []string
	ended := make(chan error)
	go func() { ended <- serveAll(socket, func(m []byte) { got = append(got, string(m)) }) }()
	for _, f := range []ws.Frame{
		ws.NewFrame(ws.OpText, false, []byte("hel")), ws.NewPingFrame([]byte("now")), ws.NewFrame(ws.OpContinuation, true, []byte("lo")),
		ws.NewFrame(ws.OpText, true, []byte("again")), ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "bye")),
	} {
		if _, err := conn.Write(frameOf(t, f, true)); err != nil {
			t.Fatal(err)
		}
	}
	pong, err := ws.ReadFrame(conn)
	if err != nil || pong.Header.OpCode != ws.OpPong || string(pong.Payload) != "now" {
		t.Errorf("the ping was answered with %v %q, %v", pong.Header.OpCode, pong.Payload, err)
	}
	if code, _ := readClose(t, conn); code != 1000 {
		t.Errorf("the close was answered with %d", code)
	}
	if err := <-ended; !errors.Is(err, ErrGone) {
		t.Errorf("reading ended with %v", err)
	}
	if len(got) != 2 || got[0] != "hello" || got[1] != "again" {
		t.Errorf("got %q", got)
	}
}

func TestControlFramesThatComeTooFastCloseTheSocket(t *testing.T) {
	for name, frame := range map[string]ws.Frame{"pings": ws.NewPingFrame(nil), "pongs": ws.NewPongFrame(nil)} {
		t.Run(name, func(t *testing.T) {
			socket, conn := open(t, false, nil).pair(dialect.JSON)
			// burst sends so many, and a message after them.
			burst := func() error {
				for range MaxControls {
					if _, err := conn.Write(frameOf(t, frame, true)); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := conn.Write(frameOf(t, ws.NewTextFrame([]byte("{}")), true)); err != nil {
					t.Fatal(err)
				}
				return socket.Read(func([]byte) {})
			}
			if err := burst(); err != nil {
				t.Fatalf("as many as may come at once: %v", err)
			}
			socket.controlsFrom = socket.controlsFrom.Add(-ControlWindow)
			if err := burst(); err != nil {
				t.Fatalf("as many again, later: %v", err)
			}
			var violation *Violation
			if err := burst(); !errors.As(err, &violation) || violation.Code != ClosePolicy {
				t.Errorf("as many again, at once: %v", err)
			}
			socket.Abort()
		})
	}
}

func TestLargeMessagesNeedPermissionAndRoom(t *testing.T) {
	large := ws.NewBinaryFrame(make([]byte, MaxMessage))
	t.Run("before hello", func(t *testing.T) {
		socket, conn := open(t, false, nil).pair(dialect.FlatBuffers)
		ended := make(chan error)
		go func() { ended <- serveAll(socket, func([]byte) {}) }()
		go func() { _, _ = conn.Write(frameOf(t, large, true)) }()
		if code, _ := readClose(t, conn); code != CloseTooLarge {
			t.Errorf("closed with %d", code)
		}
		_ = conn.Close()
		<-ended
	})
	t.Run("room comes back", func(t *testing.T) {
		l := open(t, false, nil)
		*l.large = Budget{}
		l.large.left.Store(MaxMessage)
		socket, conn := l.pair(dialect.FlatBuffers)
		socket.AllowLarge()
		for range 3 {
			go func() { _, _ = conn.Write(frameOf(t, large, true)) }()
			if err := socket.Read(func([]byte) {}); err != nil {
				t.Fatal(err)
			}
		}
		l.large.left.Store(MaxControl)
		go func() { _, _ = conn.Write(frameOf(t, large, true)) }()
		var violation *Violation
		if err := socket.Read(func([]byte) {}); !errors.As(err, &violation) || violation.Code != CloseOverloaded {
			t.Errorf("without room: %v", err)
		}
		if left := l.large.left.Load(); left != MaxControl {
			t.Errorf("%d bytes are left of %d", left, MaxControl)
		}
		socket.Abort()
	})
}

func TestASlowClientLosesNothingThatWasAcceptedAndHearsWhy(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(map[bool]string{false: "plain", true: "TLS"}[secure], func(t *testing.T) {
			socket, conn := open(t, secure, nil).pair(dialect.FlatBuffers)
			frame := AppendFrame(nil, dialect.FlatBuffers, make([]byte, 1000))
			accepted := 0
			for {
				err := socket.Send(frame)
				if errors.Is(err, ErrSlow) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				accepted++
			}
			if !socket.Congested() || socket.Queued() > 65<<10 {
				t.Errorf("congested: %v, queued: %d", socket.Congested(), socket.Queued())
			}
			socket.Close(4001, "SLOW_CONSUMER")
			ended := make(chan error)
			go func() { ended <- serveAll(socket, func([]byte) {}) }()
			if code, before := readClose(t, conn); code != 4001 || before != accepted {
				t.Errorf("closed with %d after %d frames of %d", code, before, accepted)
			}
			_ = conn.Close()
			<-ended
		})
	}
}

// congest sends until the kernel takes no more.
func congest(t *testing.T, s served) (sent int) {
	t.Helper()
	frame := AppendFrame(nil, dialect.FlatBuffers, make([]byte, 1000))
	for !s.Congested() {
		if err := s.Send(frame); err != nil {
			t.Fatal(err)
		}
		sent += len(frame)
	}
	return sent
}

func TestASocketIsAsNewWhenItsQueueHasDrained(t *testing.T) {
	socket, conn := open(t, false, nil).pair(dialect.FlatBuffers)
	drained := make(chan struct{}, 1)
	socket.OnDrained(func() { drained <- struct{}{} })
	socket.out.timeout = 300 * time.Millisecond
	sent := congest(t, socket)
	if _, err := io.CopyN(io.Discard, conn, int64(sent)); err != nil {
		t.Fatal(err)
	}
	<-drained
	if socket.Congested() || socket.Queued() != 0 {
		t.Errorf("congested: %v, queued: %d", socket.Congested(), socket.Queued())
	}
	// The flusher's deadline must not outlive it.
	for end := time.Now().Add(2 * socket.out.timeout); time.Now().Before(end); {
		if err := socket.Send(AppendFrame(nil, dialect.FlatBuffers, []byte("x"))); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, conn, 3); err != nil {
			t.Fatal(err)
		}
	}
	socket.Abort()
}

func TestAClientThatTakesNothingLosesItsConnection(t *testing.T) {
	socket, conn := open(t, false, nil).pair(dialect.FlatBuffers)
	socket.out.timeout = 50 * time.Millisecond
	frame := AppendFrame(nil, dialect.FlatBuffers, make([]byte, 1000))
	go func() { // until neither the kernel nor the queue takes any more, and longer
		for err := error(nil); err == nil || errors.Is(err, ErrSlow); err = socket.Send(frame) {
			if err != nil {
				time.Sleep(time.Millisecond)
			}
		}
	}()
	if err := socket.Read(func([]byte) {}); err == nil {
		t.Error("the reader was not told")
	}
	if err := socket.Send([]byte("x")); err == nil {
		t.Error("a broken socket took a frame")
	}
	_ = conn
}

func TestAClientThatReadsSlowlyAndSteadilyKeepsItsConnection(t *testing.T) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0) // TCP on loopback moves in steps of 64 KB
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]net.Conn
	for i, fd := range ends {
		file := os.NewFile(uintptr(fd), "")
		if conns[i], err = net.FileConn(file); err != nil {
			t.Fatal(err)
		}
		_ = file.Close()
		defer func() { _ = conns[i].Close() }()
	}
	_ = conns[0].(*net.UnixConn).SetWriteBuffer(4 << 10)
	var out outbox
	if err := out.open(conns[0]); err != nil {
		t.Fatal(err)
	}
	out.timeout = 300 * time.Millisecond
	sent := make([]byte, 10*flushPiece)
	if _, err := out.Write(sent); err != nil {
		t.Fatal(err)
	}
	began, buf := time.Now(), make([]byte, flushPiece/2)
	for got := 0; got < len(sent); {
		n, err := conns[1].Read(buf)
		if err != nil {
			t.Fatalf("after %d of %d bytes and %v: %v", got, len(sent), time.Since(began), err)
		}
		got += n
		time.Sleep(time.Duration(n) * 50 * time.Millisecond / flushPiece)
	}
	if took := time.Since(began); took < out.timeout {
		t.Errorf("it was through in %v", took)
	}
	out.drain(time.Second)
}

func TestSendingAllocatesNothing(t *testing.T) {
	socket, conn := open(t, false, nil).pair(dialect.FlatBuffers)
	frame := AppendFrame(nil, dialect.FlatBuffers, make([]byte, 200))
	go func() { _, _ = io.Copy(io.Discard, conn) }()
	if n := testing.AllocsPerRun(100, func() { _ = socket.Send(frame) }); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
	socket.Abort()
}
