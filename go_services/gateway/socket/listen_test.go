package socket

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
)

func TestHandshake(t *testing.T) {
	upgrade := "Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	ours := "Sec-WebSocket-Protocol: chat, worldmesh.v1.json\r\n"
	tests := map[string]struct {
		request string
		status  int
	}{
		"a client that is no browser":       {"GET /ws HTTP/1.1\r\n" + upgrade + ours, 101},
		"a browser from a known origin":     {"GET /ws HTTP/1.1\r\n" + upgrade + ours + "Origin: https://world.example\r\n", 101},
		"headers of a proxy, in lower case": {"GET /ws HTTP/1.1\r\n" + strings.ToLower(upgrade[:strings.Index(upgrade, "Sec-WebSocket-Key")]) + "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + ours, 101},
		"an unknown origin":                 {"GET /ws HTTP/1.1\r\n" + upgrade + ours + "origin: https://evil.example\r\n", 403},
		"an origin that only begins alike":  {"GET /ws HTTP/1.1\r\n" + upgrade + ours + "Origin: https://world.example.evil\r\n", 403},
		"a null origin":                     {"GET /ws HTTP/1.1\r\n" + upgrade + ours + "Origin: null\r\n", 403},
		"no subprotocol":                    {"GET /ws HTTP/1.1\r\n" + upgrade, 400},
		"another path":                      {"GET /other HTTP/1.1\r\n" + upgrade + ours, 404},
		"no upgrade":                        {"GET /ws HTTP/1.1\r\nHost: x\r\n", 400},
		"another version of WebSocket":      {"GET /ws HTTP/1.1\r\n" + strings.Replace(upgrade, "13", "8", 1) + ours, 426},
		"another method":                    {"POST /ws HTTP/1.1\r\n" + upgrade + ours, 405},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l := open(t, false, nil)
			conn, err := net.Dial("tcp", l.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := conn.Write([]byte(test.request + "\r\n")); err != nil {
				t.Fatal(err)
			}
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if response.StatusCode != test.status {
				t.Errorf("answered %s", response.Status)
			}
			if test.status == 101 && response.Header.Get("Sec-WebSocket-Protocol") != "worldmesh.v1.json" {
				t.Errorf("chose %q", response.Header.Get("Sec-WebSocket-Protocol"))
			}
		})
	}
}

func TestUnknownSubprotocolsAreRefusedOverTheSocket(t *testing.T) {
	l := open(t, false, nil)
	conn := l.offer("worldmesh.v9.json")
	if code, _ := readClose(t, conn); code != 4300 {
		t.Errorf("closed with %d", code)
	}
}

func TestARequestWithoutEndIsCut(t *testing.T) {
	l := open(t, false, nil)
	conn, err := net.Dial("tcp", l.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(4 * time.Second)) // before the time for handshakes is over
	if _, err := fmt.Fprint(conn, "GET /ws HTTP/1.1\r\nX: "); err != nil {
		t.Fatal(err)
	}
	for line := strings.Repeat("x", 4096); ; {
		if _, err = conn.Write([]byte(line)); err != nil {
			break
		}
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Error("it was read on and on")
	}
}

func TestAFullGatewaySaysComeBackLater(t *testing.T) {
	l := open(t, false, nil)
	for range cap(l.places) {
		l.places <- struct{}{}
	}
	conn := l.dial(dialect.JSON)
	if code, _ := readClose(t, conn); code != 4100 {
		t.Errorf("closed with %d", code)
	}
	for range cap(l.places) {
		<-l.places
	}
}

func TestAGatewayOutOfDescriptorsSaysComeBackLater(t *testing.T) {
	l := open(t, false, nil)
	before, _ := l.pair(dialect.JSON) // the listener runs, and has its spares
	defer before.Abort()
	release := useUpDescriptors(t, 1) // one is the client's own
	for range 3 {
		conn := l.dial(dialect.JSON)
		if code, _ := readClose(t, conn); code != CloseOverloaded {
			t.Errorf("closed with %d", code)
		}
		_ = conn.Close()
	}
	release()
	after, _ := l.pair(dialect.JSON)
	after.Abort()
}

// Whoever is let in while spare descriptors are lent would keep one for as long as it stays.
func TestSparesThatOthersHaveTakenAreHeldBackAgain(t *testing.T) {
	var listener *Listener
	l := open(t, false, func(made *Listener) { listener = made })
	before, _ := l.pair(dialect.JSON)
	defer before.Abort()
	for listener.spares.lend() {
	}
	after, _ := l.pair(dialect.JSON)
	defer after.Abort()
	listener.spares.mu.Lock()
	defer listener.spares.mu.Unlock()
	if held := len(listener.spares.held); held != maxSpares {
		t.Errorf("%d spares are held back", held)
	}
}

// failing is a listener of which the next few connections fail.
type failing struct {
	net.Listener
	with []error
}

func (f *failing) Accept() (net.Conn, error) {
	if len(f.with) > 0 {
		err := f.with[0]
		f.with = f.with[1:]
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", err)}
	}
	return f.Listener.Accept()
}

func TestAConnectionThatCanNotBeAcceptedEndsNoOther(t *testing.T) {
	var l *Listener
	open(t, false, func(made *Listener) { l = made })
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	other := &Listener{Log: l.Log, Acquire: func() bool { return false }, Large: l.Large}
	ended := make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		ended <- other.Run(ctx, &failing{tcp, []error{syscall.ENOBUFS, syscall.ENOMEM, syscall.EPERM, syscall.EPROTO, syscall.EMFILE}})
	}()
	dialer := ws.Dialer{Protocols: []string{dialect.Subprotocols[dialect.JSON]}, Timeout: 5 * time.Second}
	conn, early, _, err := dialer.Dial(t.Context(), "ws://"+tcp.Addr().String()+Path)
	if err != nil {
		t.Fatal(err)
	}
	if early != nil {
		conn = &buffered{conn, early}
	}
	if code, _ := readClose(t, conn); code != CloseOverloaded {
		t.Errorf("closed with %d", code)
	}
	_ = conn.Close()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	_ = tcp.Close()
}

// useUpDescriptors leaves so many to the process, until release is called.
func useUpDescriptors(t *testing.T, left int) (release func()) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	newest, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	used := []*os.File{newest}
	low := limit
	low.Cur = uint64(newest.Fd()) + 16
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	for {
		file, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		used = append(used, file)
	}
	give := func(files []*os.File) {
		for _, file := range files {
			_ = file.Close()
		}
	}
	give(used[:left])
	return func() {
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
		give(used[left:])
	}
}

func TestAnAddressHasSoManySocketsOverAllListenersAndNoMore(t *testing.T) {
	addresses := NewAddresses(2, []netip.Addr{netip.MustParseAddr("127.0.0.3")})
	bounded := func(l *Listener) { l.Addresses = addresses }
	listeners := [2]*lab{open(t, false, bounded), open(t, false, bounded)}
	from := func(address string, l *lab) (net.Conn, *Socket) {
		t.Helper()
		conn := l.offerFrom(address, dialect.Subprotocols[dialect.JSON])
		select {
		case s := <-l.sockets:
			t.Cleanup(func() { s.Abort() })
			t.Cleanup(s.finish)
			return conn, s.Socket
		case <-time.After(200 * time.Millisecond):
			return conn, nil
		}
	}
	for _, l := range listeners {
		if _, s := from("127.0.0.1", l); s == nil {
			t.Fatal("a socket within the bound was refused")
		}
	}
	conn, s := from("127.0.0.1", listeners[0])
	if s != nil {
		t.Error("one more was taken")
	} else if code, _ := readClose(t, conn); code != CloseOverloaded {
		t.Errorf("one more was closed with %d", code)
	}
	for range 3 {
		if _, s := from("127.0.0.3", listeners[0]); s == nil {
			t.Error("a proxy is bounded")
		}
	}
	if _, s := from("127.0.0.2", listeners[1]); s == nil {
		t.Error("another address is bounded with it")
	}
}

func TestWhatCountsAsOneAddress(t *testing.T) {
	tests := map[string]struct {
		first, second string
		one           bool
	}{
		"the same":                          {"192.0.2.1", "192.0.2.1", true},
		"another":                           {"192.0.2.1", "192.0.2.2", false},
		"IPv4 as IPv6 writes it":            {"192.0.2.1", "::ffff:192.0.2.1", true},
		"another of the same /64":           {"2001:db8::1", "2001:db8::2:3", true},
		"another network of the same /48":   {"2001:db8:0:1::1", "2001:db8:0:2::1", false},
		"the same one, on another of zones": {"fe80::1%eth0", "fe80::1%eth1", true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			addresses := NewAddresses(1, nil)
			give, ok := addresses.take(remote(test.first))
			if !ok {
				t.Fatal("the first was refused")
			}
			if _, ok := addresses.take(remote(test.second)); ok == test.one {
				t.Errorf("the second was taken: %v", ok)
			}
			give()
			if _, ok := addresses.take(remote(test.first)); !ok {
				t.Error("its place did not come back")
			}
		})
	}
	if _, ok := NewAddresses(0, nil).take(remote("192.0.2.1")); !ok {
		t.Error("no bound is a bound of none")
	}
}

// remote is a connection that comes from an address.
type remote string

func (r remote) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(string(r)), 1))
}

func TestAPlaceComesBackWhenAHandshakeFails(t *testing.T) {
	l := open(t, true, nil)
	for range 2 * cap(l.places) {
		conn, err := net.Dial("tcp", l.addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write([]byte("no TLS at all, no TLS at all\r\n\r\n"))
		_, _ = bufio.NewReader(conn).ReadByte()
		_ = conn.Close()
	}
	socket, _ := l.pair(dialect.JSON)
	socket.Abort()
}
