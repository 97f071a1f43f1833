package socket

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// writeTimeout bounds how long the flusher waits for a client that takes nothing.
const writeTimeout = 20 * time.Second

// notSentLowat bounds what the kernel takes ahead of what the network does, in bytes. Without it a slow client has
// megabytes of stale state before it before anybody notices that it is slow.
const notSentLowat = 32 << 10

// outbox is a connection whose Write never waits: it tries the system call once, on the caller's goroutine, and what
// the kernel doesn't take goes to a queue that a goroutine empties, which exists only meanwhile. TLS runs above it, so
// nothing that was accepted may be left out; the bound of the queue is therefore kept above TLS, by Socket.
type outbox struct {
	net.Conn
	raw syscall.RawConn

	waiting atomic.Int64 // bytes that were accepted and that the kernel has not taken

	mu      sync.Mutex
	flushed chan struct{} // closed when the flusher ends; nil while there is none
	failed  error

	// What tryWrite works on; fields, so that its closure is made once.
	buf     []byte
	written int
	err     syscall.Errno
	try     func(fd uintptr)

	queue   []byte
	timeout time.Duration
	// onDrained is called, by the flusher, when the queue has become empty.
	onDrained func()
}

var errNoDescriptor = errors.New("the connection has no file descriptor")

// open makes an outbox of a connection.
func (o *outbox) open(conn net.Conn) error {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return errNoDescriptor
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	o.Conn, o.raw, o.timeout = conn, raw, writeTimeout
	o.try = func(fd uintptr) { o.written, o.err = send(fd, o.buf) }
	_ = raw.Control(func(fd uintptr) { // a connection that is not TCP does without
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSentLowat)
	})
	return nil
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
		n, err := o.tryWrite(p)
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

func (o *outbox) tryWrite(p []byte) (int, error) {
	o.buf = p
	err := o.raw.Control(o.try)
	o.buf = nil
	switch {
	case err != nil:
		return 0, err
	case o.err == syscall.EAGAIN:
		return 0, nil
	case o.err != 0:
		return 0, o.err
	}
	return o.written, nil
}

// send hands the kernel what it takes at once. The system call never waits, so the scheduler is not told of it: to be
// told costs it a third of the call, for it looks for other work for the processor meanwhile (docs/benchmarks.md).
func send(fd uintptr, p []byte) (int, syscall.Errno) {
	if len(p) == 0 {
		return 0, 0
	}
	for {
		n, _, err := syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)),
			syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
		if err != syscall.EINTR {
			return int(n), err
		}
	}
}

// flush writes what is queued until nothing is. A client that takes nothing for too long loses its connection.
func (o *outbox) flush(done chan struct{}) {
	defer close(done)
	for data := o.takeQueue(); data != nil; data = o.takeQueue() {
		_ = o.SetWriteDeadline(time.Now().Add(o.timeout))
		if _, err := o.Conn.Write(data); err != nil {
			o.fail(err)
			return
		}
		o.waiting.Add(-int64(len(data)))
	}
	if o.onDrained != nil {
		o.onDrained()
	}
}

// takeQueue takes all that is queued; when nothing is, the flusher is over and writes go to the kernel again.
func (o *outbox) takeQueue() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	data := o.queue
	o.queue = nil
	if data == nil {
		_ = o.SetWriteDeadline(time.Time{})
		o.flushed = nil
	}
	return data
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
