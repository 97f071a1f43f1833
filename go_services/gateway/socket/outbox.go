// Package socket is a client's WebSocket: listeners, handshakes, reading messages, and writing frames without ever
// waiting for the client.
package socket

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrSlow ends a socket whose client reads more slowly than the bound of its queue allows.
var ErrSlow = errors.New("the client reads too slowly")

// writeTimeout bounds how long the flusher waits for a client that takes nothing.
const writeTimeout = 20 * time.Second

// outbox is a connection whose Write never waits: it tries the system call once, on the caller's goroutine, and what
// the kernel doesn't take goes to a bounded queue that a goroutine empties, which exists only meanwhile. TLS runs
// above it.
type outbox struct {
	net.Conn
	raw   syscall.RawConn
	limit int

	mu       sync.Mutex
	pending  []byte
	flushing bool
	failed   error

	// What tryWrite works on; fields, so that its closure is made once.
	buf     []byte
	written int
	err     error
	try     func(fd uintptr) bool

	congested atomic.Bool
}

func newOutbox(conn net.Conn, limit int) (*outbox, error) {
	o := &outbox{Conn: conn, limit: limit}
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return nil, errors.New("the connection has no file descriptor")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	o.raw = raw
	o.try = func(fd uintptr) bool {
		o.written, o.err = syscall.Write(int(fd), o.buf)
		return true // whatever came of it: never wait here
	}
	return o, nil
}

// Congested says whether something waits for the client.
func (o *outbox) Congested() bool { return o.congested.Load() }

// queued is how many bytes wait for the client.
func (o *outbox) queued() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.pending)
}

func (o *outbox) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failed != nil {
		return 0, o.failed
	}
	rest := p
	if len(o.pending) == 0 && !o.flushing {
		n, err := o.tryWrite(p)
		if err != nil {
			o.failed = err
			return n, err
		}
		if rest = p[n:]; len(rest) == 0 {
			return len(p), nil
		}
	}
	if len(o.pending)+len(rest) > o.limit {
		o.failed = ErrSlow
		return 0, ErrSlow
	}
	o.pending = append(o.pending, rest...)
	o.congested.Store(true)
	if !o.flushing {
		o.flushing = true
		go o.flush()
	}
	return len(p), nil
}

func (o *outbox) tryWrite(p []byte) (int, error) {
	o.buf = p
	err := o.raw.Write(o.try)
	o.buf = nil
	switch {
	case err != nil:
		return 0, err
	case errors.Is(o.err, syscall.EAGAIN), errors.Is(o.err, syscall.EINTR):
		return 0, nil
	case o.err != nil:
		return 0, o.err
	}
	return o.written, nil
}

func (o *outbox) flush() {
	for {
		o.mu.Lock()
		data := o.pending
		if len(data) == 0 || o.failed != nil {
			o.pending, o.flushing = nil, false
			o.congested.Store(false)
			o.mu.Unlock()
			return
		}
		o.pending = nil
		o.mu.Unlock()

		_ = o.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, err := o.Conn.Write(data); err != nil {
			o.mu.Lock()
			o.failed = err
			o.mu.Unlock()
		}
	}
}

// drain waits until the queue is empty, but no longer than d. It is for the last words to a client.
func (o *outbox) drain(d time.Duration) {
	for end := time.Now().Add(d); o.Congested() && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
}
