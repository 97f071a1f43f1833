// Package socket is a client's WebSocket: listeners, handshakes, reading messages, and writing frames without ever
// waiting for the client.
//
// An idle socket is a goroutine that waits to read, a small buffer, and what it takes to write: there is no writing
// goroutine. Whoever has something to say makes the system call; only while a client doesn't keep up does a goroutine
// empty its queue.
package socket

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
)

// Close codes of RFC 6455 that the gateway uses beside its own.
const (
	CloseNormal      = 1000
	CloseProtocol    = 1002
	CloseNotUTF8     = 1007
	ClosePolicy      = 1008
	CloseTooLarge    = 1009
	CloseInternal    = 1011
	CloseUnsupported = 4300
	CloseOverloaded  = 4100
)

const (
	// closeTimeout is how long a closing socket waits for the client's answer, and for what is still queued.
	closeTimeout = 2 * time.Second
	// maxCloseReason keeps a close frame within WebSocket's bound of 125 bytes.
	maxCloseReason = 120
	// lastWords may be queued past the bound: the error and the close frame that tell a slow client why.
	lastWords = 1 << 10
	// maxLinger bounds what is read and thrown away of a client that goes on sending while its socket closes.
	maxLinger = 256 << 10
)

var (
	// ErrSlow means that a frame was not sent, for the client reads more slowly than the bound of its queue allows.
	ErrSlow = errors.New("the client reads too slowly")
	// ErrGone means that the client closed the socket or went away.
	ErrGone = errors.New("the client is gone")
)

// Violation is a message that breaks WebSocket's rules; the socket is to be closed with its code.
type Violation struct {
	Code   uint16
	Reason string
}

func (v *Violation) Error() string { return fmt.Sprintf("%d %s", v.Code, v.Reason) }

// Socket is one client's WebSocket. One goroutine reads; any may write.
type Socket struct {
	Dialect dialect.Dialect

	closed atomic.Bool
	limit  int64    // of bytes that wait
	conn   net.Conn // out, or TLS above it
	out    outbox
	reader *bufio.Reader
	header [ws.MaxHeaderSize]byte
	max    int // bytes that a message may have; the reader's
	large  *Budget
	// answered says that the client has closed its side, leftFirst that it did so by itself; the reader's.
	answered, leftFirst bool
	// controls are the control frames since controlsFrom; the reader's.
	controls     int
	controlsFrom time.Time
}

// newSocket wraps a connection; what the handshake finds out comes later.
func newSocket(conn net.Conn, limit int, large *Budget) (*Socket, error) {
	s := &Socket{limit: int64(limit), large: large, max: MaxControl, controlsFrom: time.Now()}
	if err := s.out.open(conn); err != nil {
		return nil, err
	}
	s.conn = &s.out
	return s, nil
}

// OnDrained sets what is called when nothing waits any more after something did. Set it before anything is sent.
func (s *Socket) OnDrained(f func()) { s.out.onDrained = f }

// Send writes or queues a frame that AppendFrame made, and keeps nothing of it. It never waits. The error is ErrSlow,
// after which the frame was not sent and the socket is as it was; or one of the connection's.
func (s *Socket) Send(frame []byte) error { return s.write(frame, s.limit) }

// SendLast is Send for what comes before a close: it may be queued past the bound.
func (s *Socket) SendLast(frame []byte) error { return s.write(frame, s.limit+lastWords) }

func (s *Socket) write(frame []byte, limit int64) error {
	if s.closed.Load() {
		return nil // nothing follows the close frame
	}
	return s.put(frame, limit)
}

func (s *Socket) put(frame []byte, limit int64) error {
	if waiting := s.out.waiting.Load(); waiting > 0 && waiting+int64(len(frame)) > limit {
		return ErrSlow
	}
	_, err := s.conn.Write(frame)
	return err
}

// Congested says whether something waits for the client to read.
func (s *Socket) Congested() bool { return s.out.waiting.Load() > 0 }

// Queued is how many bytes wait for the client to read.
func (s *Socket) Queued() int { return int(s.out.waiting.Load()) }

// Close begins to close: it tells the client why, after which Read hands out no more messages and ends when the client
// has answered or has had the time to. It says whether this call was the first. Any goroutine may call it.
func (s *Socket) Close(code uint16, reason string) bool {
	if !s.closed.CompareAndSwap(false, true) {
		return false
	}
	reason = reason[:min(len(reason), maxCloseReason)]
	body := ws.NewCloseFrameBody(ws.StatusCode(code), reason)
	_ = s.put(ws.MustCompileFrame(ws.NewCloseFrame(body)), s.limit+2*lastWords)
	_ = s.out.SetReadDeadline(time.Now().Add(closeTimeout))
	return true
}

// Closed says whether Close was called, or the client has closed.
func (s *Socket) Closed() bool { return s.closed.Load() }

// LeftFirst says, after Read has ended, whether the client's close frame came before one of ours.
func (s *Socket) LeftFirst() bool { return s.leftFirst }

// Release closes the connection, after Read has ended: what is queued gets a moment to leave. What still comes in is
// read first, for closing a connection with unread bytes would take back the last words.
func (s *Socket) Release() {
	if s.closed.Load() {
		s.out.drain(closeTimeout)
		if !s.answered {
			_, _ = io.CopyN(io.Discard, s.reader, maxLinger)
		}
		if t, ok := s.conn.(*tls.Conn); ok {
			_ = t.CloseWrite()
		}
	}
	_ = s.out.Conn.Close()
}

// Abort cuts the connection, so that Read ends. Any goroutine may call it.
func (s *Socket) Abort() { _ = s.out.Conn.Close() }
