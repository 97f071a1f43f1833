package socket

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/worldmesh/worldmesh/go_services/internal/rawio"
	"golang.org/x/sys/unix"
)

// writeTimeout bounds how long the flusher waits for a client that takes nothing, or less than flushPiece: who reads that much
// meanwhile is slow, and not gone.
const (
	writeTimeout = 20 * time.Second
	flushPiece   = 8 << 10
)

// notSentLowat bounds what the kernel takes ahead of what the network does, in bytes. Without it a slow client has
// megabytes of stale state before it before anybody notices that it is slow.
const notSentLowat = 32 << 10

// outbox is a connection whose Write never waits: it tries the system call once, on the caller's goroutine, and what
// the kernel doesn't take goes to a queue that a goroutine empties, which exists only meanwhile. TLS runs above it, so
// nothing that was accepted may be left out; the bound of the queue is therefore kept above TLS, by Socket.
type outbox struct {
	rawio.Conn
	turn *turn // while it shakes hands; nil if that needs none

	waiting atomic.Int64 // bytes that were accepted and that the kernel has not taken

	mu      sync.Mutex
	flushed chan struct{} // closed when the flusher ends; nil while there is none
	failed  error

	queue   []byte
	timeout time.Duration
	// onDrained is called, by the flusher, when the queue has become empty.
	onDrained func()
}

// open makes an outbox of a connection.
func (o *outbox) open(conn net.Conn) error {
	if err := o.Open(conn); err != nil {
		return err
	}
	o.timeout = writeTimeout
	raw, err := o.SyscallConn()
	if err != nil {
		return err
	}
	_ = raw.Control(func(fd uintptr) { // a connection that is not TCP does without
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSentLowat)
	})
	return nil
}

// Read reads what the client has said. One goroutine may read.
func (o *outbox) Read(p []byte) (int, error) {
	if o.turn != nil {
		return o.turn.read(&o.Conn, p)
	}
	return o.Conn.Read(p)
}

// Write accepts all of p, or fails for good.
func (o *outbox) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failed != nil {
		return 0, o.failed
	}
	rest := p
	if o.flushed == nil {
		n, err := o.TryWrite(p)
		if err != nil {
			o.failed = err
			return n, err
		}
		if n == len(p) {
			return n, nil
		}
		rest = p[n:]
	}
	o.queue = append(o.queue, rest...)
	o.waiting.Add(int64(len(rest)))
	if o.flushed == nil {
		o.flushed = make(chan struct{})
		go o.flush(o.flushed)
	}
	return len(p), nil
}

// flush writes what is queued until nothing is. A client that takes nothing for too long loses its connection.
func (o *outbox) flush(done chan struct{}) {
	defer close(done)
	piece := make([]byte, 0, flushPiece)
	for piece = o.takeQueue(piece); len(piece) > 0; piece = o.takeQueue(piece) {
		_ = o.SetWriteDeadline(time.Now().Add(o.timeout))
		if _, err := o.Conn.Write(piece); err != nil {
			o.fail(err)
			return
		}
		o.waiting.Add(-int64(len(piece)))
	}
	if o.onDrained != nil {
		o.onDrained()
	}
}

// takeQueue moves the first of what is queued into a piece; when nothing is, the flusher is over and writes go to the kernel again.
func (o *outbox) takeQueue(piece []byte) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := min(len(o.queue), cap(piece))
	if n == 0 {
		_ = o.SetWriteDeadline(time.Time{})
		o.queue, o.flushed = nil, nil
	}
	piece = append(piece[:0], o.queue[:n]...)
	o.queue = append(o.queue[:0], o.queue[n:]...)
	return piece
}

// fail ends the connection, so that the reader finds out.
func (o *outbox) fail(err error) {
	o.mu.Lock()
	o.failed, o.queue, o.flushed = err, nil, nil
	o.waiting.Store(0)
	o.mu.Unlock()
	_ = o.Conn.Close()
}

// drain waits until the queue is empty, but no longer than d. It is for the last words to a client.
func (o *outbox) drain(d time.Duration) {
	o.mu.Lock()
	flushed := o.flushed
	o.mu.Unlock()
	if flushed == nil {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-flushed:
	case <-timer.C:
	}
}
