package socket

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"slices"
	"syscall"
	"time"

	"github.com/gobwas/ws"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
)

// Path is where clients open their sockets.
const Path = "/ws"

// handshakeTimeout bounds TLS and the upgrade together.
const handshakeTimeout = 5 * time.Second

// Listener accepts clients' sockets.
type Listener struct {
	// TLS is nil for plain sockets.
	TLS *tls.Config
	// Origins are those that browsers may come from. Clients that are no browsers send none.
	Origins []string
	// QueueBytes bounds what may wait for one client.
	QueueBytes int
	// Admit says whether there is room for one more; Serve owns the socket until it returns.
	Admit func() bool
	Serve func(*Socket)
	Log   *slog.Logger
}

// Run accepts until ctx ends.
func (l *Listener) Run(ctx context.Context, listener net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	for {
		conn, err := listener.Accept()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ECONNABORTED):
			l.Log.Warn("accept", "error", err.Error())
			time.Sleep(50 * time.Millisecond) // descriptors come back when sockets close
			continue
		case err != nil:
			return err
		}
		go l.serve(conn)
	}
}

func (l *Listener) serve(conn net.Conn) {
	socket, err := l.handshake(conn)
	if err != nil {
		_ = conn.Close()
		return
	}
	if !l.Admit() {
		socket.Close(4100, "the gateway is full")
		_ = socket.Read(func([]byte) {})
		return
	}
	l.Serve(socket)
	socket.Abort()
}

func (l *Listener) handshake(conn net.Conn) (*Socket, error) {
	if err := conn.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return nil, err
	}
	out, err := newOutbox(conn, l.QueueBytes)
	if err != nil {
		return nil, err
	}
	var stack net.Conn = out
	if l.TLS != nil {
		secure := tls.Server(out, l.TLS)
		if err := secure.Handshake(); err != nil {
			return nil, err
		}
		stack = secure
	}
	chosen, err := l.upgrade(stack)
	if err != nil {
		return nil, err
	}
	return newSocket(stack, out, chosen), conn.SetDeadline(time.Time{})
}

func (l *Listener) upgrade(conn net.Conn) (dialect.Dialect, error) {
	agreed := -1
	upgrader := ws.Upgrader{
		ReadBufferSize:  1024,
		WriteBufferSize: 512,
		OnRequest: func(uri []byte) error {
			if string(uri) != Path {
				return refuse(404, "sockets open at "+Path)
			}
			return nil
		},
		OnHeader: func(key, value []byte) error {
			if string(key) == "Origin" && !slices.Contains(l.Origins, string(value)) {
				return refuse(403, "the origin is not allowed")
			}
			return nil
		},
		Protocol: func(offered []byte) bool {
			d, ok := dialect.BySubprotocol(string(offered))
			if ok {
				agreed = int(d)
			}
			return ok
		},
		OnBeforeUpgrade: func() (ws.HandshakeHeader, error) {
			if agreed < 0 {
				return nil, refuse(400, "offer a subprotocol: "+dialect.Subprotocols[0]+" or "+dialect.Subprotocols[1])
			}
			return nil, nil
		},
	}
	_, err := upgrader.Upgrade(conn)
	return dialect.Dialect(max(agreed, 0)), err
}

func refuse(status int, reason string) error {
	return ws.RejectConnectionError(ws.RejectionStatus(status), ws.RejectionReason(reason))
}
