package main

import (
	"context"
	"net"
	"sync"
	"syscall"
	"time"
)

// receiveBuffer is what the kernel may hold for a client that reads slowly, so that the gateway notices soon.
const receiveBuffer = 4 << 10

// throttle is how fast a client reads that is slow at times.
type throttle struct {
	perSecond int // bytes, while it is slow; 0: it reads nothing

	mu      sync.Mutex
	slow    bool
	changed chan struct{} // closed when it changes
}

func newThrottle(bytesPerSecond int) *throttle {
	return &throttle{perSecond: bytesPerSecond, changed: make(chan struct{})}
}

func (t *throttle) set(slow bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.slow = slow
	close(t.changed)
	t.changed = make(chan struct{})
}

func (t *throttle) state() (slow bool, changed <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.slow, t.changed
}

func (t *throttle) on() bool {
	slow, _ := t.state()
	return slow
}

// dial opens a connection that reads as slowly as is said.
func (t *throttle) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		if failed := raw.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, receiveBuffer)
		}); failed != nil {
			return failed
		}
		return err
	}}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &slowConn{conn, t}, nil
}

// slowConn reads as slowly as its throttle says.
type slowConn struct {
	net.Conn
	throttle *throttle
}

// Read waits as long as it takes to read what it reads.
func (c *slowConn) Read(p []byte) (int, error) {
	slow, changed := c.throttle.state()
	for slow && c.throttle.perSecond == 0 {
		<-changed
		slow, changed = c.throttle.state()
	}
	if !slow {
		return c.Conn.Read(p)
	}
	n, err := c.Conn.Read(p[:min(len(p), max(c.throttle.perSecond/10, 1))])
	select {
	case <-time.After(time.Duration(n) * time.Second / time.Duration(c.throttle.perSecond)):
	case <-changed:
	}
	return n, err
}
