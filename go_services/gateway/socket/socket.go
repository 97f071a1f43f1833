package socket

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
)

const (
	// MaxMessage bounds any message of a client, in bytes.
	MaxMessage = 64 << 10
	// readBuffer is small, for it stays with every idle socket.
	readBuffer = 512
	// maxCloseReason keeps a close frame within WebSocket's bound of 125 bytes.
	maxCloseReason = 120
	// lastWords is how long a closing socket waits for what is still queued.
	lastWords = 500 * time.Millisecond
)

// Violation is a message that breaks WebSocket's rules; the socket is closed with its code.
type Violation struct {
	Code   uint16
	Reason string
}

func (v *Violation) Error() string { return fmt.Sprintf("%d %s", v.Code, v.Reason) }

// ErrGone means that the client closed the socket or went away.
var ErrGone = errors.New("the client is gone")

// Socket is one client's WebSocket. One goroutine reads; any may write.
type Socket struct {
	Dialect dialect.Dialect

	out    *outbox
	conn   net.Conn // out, or TLS above it
	reader *bufio.Reader
	once   sync.Once
	closed atomic.Bool
}

func newSocket(conn net.Conn, out *outbox, d dialect.Dialect) *Socket {
	return &Socket{Dialect: d, out: out, conn: conn, reader: bufio.NewReaderSize(conn, readBuffer)}
}

// buffers are lent to readers while a message is being read.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// Read waits for the next message and hands it to f, which must not keep it. It answers pings itself. The error is a
// *Violation, ErrGone, or one of the connection's.
func (s *Socket) Read(f func(message []byte)) error {
	for {
		header, err := ws.ReadHeader(s.reader)
		if err != nil {
			return gone(err)
		}
		if v := s.check(header); v != nil {
			return v
		}
		buf, _ := buffers.Get().(*[]byte)
		message, err := s.payload(header, (*buf)[:0])
		if err == nil {
			err = s.dispatch(header.OpCode, message, f)
		}
		*buf = message[:0]
		buffers.Put(buf)
		if err != nil {
			return err
		}
		if !header.OpCode.IsControl() {
			return nil
		}
	}
}

func (s *Socket) check(h ws.Header) *Violation {
	switch {
	case h.Rsv != 0:
		return &Violation{1002, "no extension was agreed on"}
	case !h.Masked:
		return &Violation{1002, "a client must mask its frames"}
	case h.OpCode.IsControl() && (h.Length > 125 || !h.Fin):
		return &Violation{1002, "a control frame is too long or in parts"}
	case h.OpCode.IsReserved():
		return &Violation{1002, "a reserved opcode"}
	case h.OpCode == ws.OpContinuation:
		return &Violation{1002, "nothing to continue"}
	case h.Length > MaxMessage:
		return &Violation{1009, "a message holds 64 KiB at most"}
	case !h.OpCode.IsControl() && (h.OpCode == ws.OpText) != (s.Dialect == dialect.JSON):
		return &Violation{1008, "text is for the JSON dialect, binary for FlatBuffers"}
	}
	return nil
}

// payload reads a message, and the frames that continue it.
func (s *Socket) payload(h ws.Header, into []byte) ([]byte, error) {
	message, err := s.frame(h, into)
	for err == nil && !h.Fin {
		if h, err = ws.ReadHeader(s.reader); err != nil {
			return message, gone(err)
		}
		switch {
		case h.OpCode != ws.OpContinuation || !h.Masked || h.Rsv != 0:
			return message, &Violation{1002, "a continuation was expected"}
		case int64(len(message))+h.Length > MaxMessage:
			return message, &Violation{1009, "a message holds 64 KiB at most"}
		}
		message, err = s.frame(h, message)
	}
	return message, err
}

func (s *Socket) frame(h ws.Header, into []byte) ([]byte, error) {
	start, n := len(into), int(h.Length)
	if cap(into) < start+n {
		into = append(make([]byte, 0, start+n), into...)
	}
	into = into[:start+n]
	if _, err := io.ReadFull(s.reader, into[start:]); err != nil {
		return into, gone(err)
	}
	ws.Cipher(into[start:], h.Mask, 0)
	return into, nil
}

func (s *Socket) dispatch(op ws.OpCode, message []byte, f func([]byte)) error {
	switch op {
	case ws.OpPing:
		return s.write(ws.MustCompileFrame(ws.NewPongFrame(message)))
	case ws.OpPong:
		return nil
	case ws.OpClose:
		s.Close(1000, "")
		return ErrGone
	}
	if op == ws.OpText && !utf8.Valid(message) {
		return &Violation{1007, "a text is not UTF-8"}
	}
	f(message)
	return nil
}

// Frame makes a message into what goes over the wire, once for all sockets of a dialect.
func Frame(d dialect.Dialect, message []byte) []byte {
	op := byte(0x82)
	if d == dialect.JSON {
		op = 0x81
	}
	n := len(message)
	frame := make([]byte, 0, n+10)
	switch {
	case n < 126:
		frame = append(frame, op, byte(n))
	case n <= 0xffff:
		frame = binary.BigEndian.AppendUint16(append(frame, op, 126), uint16(n))
	default:
		frame = binary.BigEndian.AppendUint64(append(frame, op, 127), uint64(n))
	}
	return append(frame, message...)
}

// Send queues a frame that Frame made. It never waits. The error is ErrSlow or one of the connection's.
func (s *Socket) Send(frame []byte) error { return s.write(frame) }

// Congested says whether something waits for the client to read.
func (s *Socket) Congested() bool { return s.out.Congested() }

// Queued is how many bytes wait for the client to read.
func (s *Socket) Queued() int { return s.out.queued() }

func (s *Socket) write(frame []byte) error {
	_, err := s.conn.Write(frame)
	return err
}

// Close tells the client why, and closes. It may be called from any goroutine, and more than once.
func (s *Socket) Close(code uint16, reason string) {
	s.once.Do(func() {
		s.closed.Store(true)
		reason = reason[:min(len(reason), maxCloseReason)]
		_ = s.write(ws.MustCompileFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusCode(code), reason))))
		go func() {
			s.out.drain(lastWords)
			if t, ok := s.conn.(*tls.Conn); ok {
				_ = t.CloseWrite()
			}
			// Reading on for a moment lets the client take the last words before the connection is reset.
			_ = s.out.SetReadDeadline(time.Now().Add(lastWords))
			time.AfterFunc(lastWords, func() { _ = s.out.Conn.Close() })
		}()
	})
}

// Abort closes without a word: after the reader has ended.
func (s *Socket) Abort() { _ = s.out.Conn.Close() }

func gone(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return ErrGone
	}
	return err
}
