package socket

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gobwas/ws"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
)

// Path is where clients open their sockets.
const Path = "/ws"

// maxRequest bounds the upgrade request, in bytes.
const maxRequest = 16 << 10

var errUnsupported = errors.New("no subprotocol that we know")

// handshake does TLS and the upgrade. A client whose subprotocols are all unknown is told so over the socket, for a
// browser shows its page nothing of a failed upgrade.
func (l *Listener) handshake(conn net.Conn) (*Socket, error) {
	deadline := time.Now().Add(handshakeTimeout)
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	socket, err := newSocket(conn, l.QueueBytes, l.Large)
	if err != nil {
		return nil, err
	}
	if l.TLS != nil {
		socket.out.turn = &turn{turns: l.Turns, until: deadline}
		defer socket.endTurn()
		secure := tls.Server(&socket.out, l.TLS)
		if err := secure.Handshake(); err != nil {
			return nil, err
		}
		socket.conn = secure
	}
	chosen, refused := l.upgrade(socket.conn)
	socket.endTurn() // what follows may wait for the client
	if refused != nil && !errors.Is(refused, errUnsupported) {
		socket.out.drain(time.Second)
		return nil, refused
	}
	socket.Dialect, socket.reader = chosen, bufio.NewReaderSize(socket.conn, readBuffer)
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	if refused != nil {
		socket.turnAway(CloseUnsupported, "UNSUPPORTED_PROTOCOL")
		return nil, refused
	}
	return socket, nil
}

// endTurn gives the turn back, if there is one: what is read from now on needs none.
func (s *Socket) endTurn() {
	if s.out.turn != nil {
		s.out.turn.rest()
		s.out.turn = nil
	}
}

// request is the connection with a bound on how much of it is read.
type request struct {
	io.Reader
	io.Writer
}

func (l *Listener) upgrade(conn net.Conn) (dialect.Dialect, error) {
	agreed, offered := -1, false
	upgrader := ws.Upgrader{
		ReadBufferSize:  1024,
		WriteBufferSize: 512,
		OnRequest: func(uri []byte) error {
			if path, _, _ := strings.Cut(string(uri), "?"); path != Path {
				return reject(http.StatusNotFound, "sockets open at "+Path)
			}
			return nil
		},
		OnHeader: func(key, value []byte) error {
			if string(key) == "Origin" && !slices.Contains(l.Origins, string(value)) {
				return reject(http.StatusForbidden, "the origin is not allowed")
			}
			return nil
		},
		ProtocolCustom: func(value []byte) (string, bool) {
			offered = true
			name, d := chooseSubprotocol(string(value))
			agreed = d
			return name, true
		},
		OnBeforeUpgrade: func() (ws.HandshakeHeader, error) {
			if !offered {
				return nil, reject(http.StatusBadRequest, "offer a subprotocol: "+strings.Join(dialect.Subprotocols[:], " or "))
			}
			return nil, nil
		},
	}
	if _, err := upgrader.Upgrade(request{io.LimitReader(conn, maxRequest), conn}); err != nil {
		return 0, err
	}
	if agreed < 0 {
		return 0, errUnsupported
	}
	return dialect.Dialect(agreed), nil
}

// chooseSubprotocol takes the first one offered that we know; or the first, and -1: a browser takes the socket only
// with one that it offered.
func chooseSubprotocol(offered string) (string, int) {
	names := strings.Split(offered, ",")
	for i, name := range names {
		names[i] = strings.TrimSpace(name)
		if d, ok := dialect.BySubprotocol(names[i]); ok {
			return names[i], int(d)
		}
	}
	return names[0], -1
}

func reject(status int, reason string) error {
	return ws.RejectConnectionError(ws.RejectionStatus(status), ws.RejectionReason(reason))
}
