package socket

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

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
