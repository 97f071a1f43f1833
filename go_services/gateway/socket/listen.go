package socket

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"syscall"
	"time"
)

const (
	// handshakeTimeout bounds TLS and the upgrade together.
	handshakeTimeout = 5 * time.Second
	// maxRefusals bounds the sockets that are being told that there is no room; past it connections are just cut.
	maxRefusals = 64
	// maxSpares is how many clients can be told so at the same time while the process is out of descriptors.
	maxSpares = 16
	// acceptPause is how long to wait when those are lent, too, for they come back within the time for handshakes; and when
	// a connection can not be accepted for any other reason.
	acceptPause = 50 * time.Millisecond
)

// Listener accepts clients' sockets.
type Listener struct {
	// TLS is nil for plain sockets.
	TLS *tls.Config
	// Origins are those that browsers may come from, exactly. Clients that are no browsers send none.
	Origins []string
	// QueueBytes bounds what may wait for one client.
	QueueBytes int
	// Large bounds the memory of large messages over all sockets.
	Large *Budget
	// Acquire takes a place for one more connection, and Release gives it back. They bound connections from the
	// moment they are accepted.
	Acquire func() bool
	Release func()
	// Addresses bounds the connections of each address.
	Addresses *Addresses
	// Turns bounds how much is worked at once on accepting connections and TLS handshakes.
	Turns *Turns
	// Serve owns a socket until it returns.
	Serve func(*Socket)
	Log   *slog.Logger

	refusals chan struct{}
	spares   *spares
}

// Run accepts until ctx ends.
func (l *Listener) Run(ctx context.Context, listener net.Listener) error {
	l.refusals = make(chan struct{}, maxRefusals)
	l.spares = newSpares(maxSpares)
	defer l.spares.close()
	if l.TLS != nil {
		l.TLS = l.TLS.Clone()
		// One record, and so one system call, for a frame of any usual size.
		l.TLS.DynamicRecordSizingDisabled = true
		l.TLS.NextProtos = []string{"http/1.1"}
	}
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	var said time.Time
	for {
		conn, err := listener.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			if now := time.Now(); now.Sub(said) > time.Second {
				l.Log.Warn("accept", "error", err.Error())
				said = now
			}
			l.afterFailure(err)
			continue
		case gone(conn):
			_ = conn.Close()
			continue
		}
		l.take(conn)
	}
}

// take has a connection be received, in turn with handshakes: the rest of a crowd waits in the kernel meanwhile, where it
// costs least, rather than be thousands of goroutines that have all something to do at once.
func (l *Listener) take(conn net.Conn) {
	if l.TLS != nil {
		defer l.Turns.taken(false)()
	}
	if l.spares.restore() {
		go l.receive(conn)
	} else {
		go l.refuseOnSpare(conn)
	}
}

// afterFailure makes room for the next connection, or waits for it. Whatever it was, it has to do with one connection, or
// with a kernel that has nothing left just now: it is no reason to let go of those who are in.
func (l *Listener) afterFailure(err error) {
	outOfDescriptors := errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
	if outOfDescriptors && l.spares.lend() { // the next to be accepted gets that one
		return
	}
	time.Sleep(acceptPause)
}

// receive shakes hands. What serves the socket afterwards is a goroutine of its own, for TLS leaves a large stack.
func (l *Listener) receive(conn net.Conn) {
	release, ok := l.acquire(conn)
	if !ok {
		l.refuse(conn)
		return
	}
	socket, err := l.handshake(conn)
	if err != nil {
		_ = conn.Close()
		release()
		return
	}
	go func() {
		defer release()
		defer socket.Release()
		l.Serve(socket)
	}()
}

// acquire takes a place of the listener's, and one of the connection's address.
func (l *Listener) acquire(conn net.Conn) (release func(), ok bool) {
	if !l.Acquire() {
		return nil, false
	}
	give, ok := l.Addresses.take(conn)
	if !ok {
		l.Release()
		return nil, false
	}
	return func() {
		give()
		l.Release()
	}, true
}

// refuse tells a client to come back later, if not too many others are being told so.
func (l *Listener) refuse(conn net.Conn) {
	select {
	case l.refusals <- struct{}{}:
		defer func() { <-l.refusals }()
	default:
		_ = conn.Close()
		return
	}
	socket, err := l.handshake(conn)
	if err != nil {
		_ = conn.Close()
		return
	}
	socket.turnAway(CloseOverloaded, "OVERLOADED")
}

// refuseOnSpare is refuse of a connection that has taken a descriptor which is to be spare.
func (l *Listener) refuseOnSpare(conn net.Conn) {
	l.refuse(conn)
	l.spares.restore()
}

// turnAway closes a socket that nobody serves.
func (s *Socket) turnAway(code uint16, reason string) {
	s.Close(code, reason)
	for s.Read(func([]byte) {}) == nil { //nolint:revive // until the client has answered
	}
	s.Release()
}
