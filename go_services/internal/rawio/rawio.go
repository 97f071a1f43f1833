// Package rawio reads and writes connections by system calls of which Go's scheduler is not told.
//
// net.Conn tells it of each, for each might wait; but these hardly ever do, and then for microseconds, as the poller waits
// for the network. To be told costs the scheduler about a third of a short call: it takes note of the processor, may look
// for other work for it, and wakes the thread that watches over calls that wait, if all was idle before. A gateway makes
// tens of thousands of such calls a second.
package rawio

import (
	"errors"
	"io"
	"net"
	"syscall"
)

// Conn is a connection. At a time one goroutine may read, and one may write; the methods of net.Conn that it does not
// have itself go to the connection that it was made of.
type Conn struct {
	net.Conn
	raw syscall.RawConn

	in, out step
	// What works on them; fields, so that the closures are made once a connection. The first two say whether it is over.
	read, write func(fd uintptr) bool
	try         func(fd uintptr)
}

// step is a call that is tried, and what came of it.
type step struct {
	buf  []byte
	done int
	err  syscall.Errno
}

var errNoDescriptor = errors.New("the connection has no file descriptor")

// Open begins to use a connection, which must be of the kernel's.
func (c *Conn) Open(conn net.Conn) error {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return errNoDescriptor
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	c.Conn, c.raw = conn, raw
	c.read = func(fd uintptr) bool {
		c.in.done, c.in.err = receive(fd, c.in.buf)
		return c.in.err != syscall.EAGAIN
	}
	c.try = func(fd uintptr) { c.out.done, c.out.err = send(fd, c.out.buf) }
	c.write = func(fd uintptr) bool {
		for c.out.done < len(c.out.buf) {
			var n int
			if n, c.out.err = send(fd, c.out.buf[c.out.done:]); c.out.err != 0 {
				return c.out.err != syscall.EAGAIN
			}
			c.out.done += n
		}
		return true
	}
	return nil
}

// SyscallConn is syscall.Conn.
func (c *Conn) SyscallConn() (syscall.RawConn, error) { return c.raw, nil }

// Read reads what has come, and waits for it.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.in.buf = p
	err := c.raw.Read(c.read)
	c.in.buf = nil
	switch {
	case err != nil:
		return 0, err
	case c.in.err != 0:
		return 0, c.in.err
	case c.in.done == 0:
		return 0, io.EOF
	}
	return c.in.done, nil
}

// Write writes all of p, and waits until the kernel has taken it.
func (c *Conn) Write(p []byte) (int, error) {
	c.out.buf, c.out.done, c.out.err = p, 0, 0
	err := c.raw.Write(c.write)
	c.out.buf = nil
	if err == nil && c.out.err != 0 {
		err = c.out.err
	}
	return c.out.done, err
}

// TryWrite writes what the kernel takes at once, which may be nothing.
func (c *Conn) TryWrite(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.out.buf = p
	err := c.raw.Control(c.try)
	c.out.buf = nil
	switch {
	case err != nil:
		return 0, err
	case c.out.err == syscall.EAGAIN:
		return 0, nil
	case c.out.err != 0:
		return 0, c.out.err
	}
	return c.out.done, nil
}
