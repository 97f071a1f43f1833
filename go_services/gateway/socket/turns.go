package socket

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Turns bounds how much is worked at the same time on who comes: on accepting connections, TLS handshakes and tokens. When
// a crowd comes, what makes all of them wait is the processor: shared among all it is enough for none within the time that
// clients wait, and those who are in are starved by it. With turns the first are through while the last wait, and who has
// begun goes before who has not.
type Turns struct {
	mu    sync.Mutex
	free  int
	begun []chan struct{} // who have had one
	fresh []chan struct{} // who have not
}

// NewTurns makes so many turns: as many as there are processors keep all of them busy.
func NewTurns(n int) *Turns { return &Turns{free: n} }

// Waiting is how many wait for a turn.
func (t *Turns) Waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.begun) + len(t.fresh)
}

// Take waits for a turn of who has had one before, for something that takes no time but the processor's. It is over when
// `rest` is called.
func (t *Turns) Take() (rest func()) { return t.taken(true) }

func (t *Turns) taken(begun bool) (rest func()) {
	t.take(begun)
	since := time.Now()
	return func() { t.restFrom(since) }
}

// longestRest bounds how long nobody has a turn after another. Nothing that is done in one takes longer than this: what did
// has waited for a processor that others had. To rest for as long as that, too, would let in the fewer the busier a machine
// is, and at last so few that who comes back is late for its place in the room.
const longestRest = 4 * time.Millisecond

// restFrom gives a turn back that was taken then, after as long as it was had: half of the time is for those who are in.
func (t *Turns) restFrom(taken time.Time) {
	time.AfterFunc(min(time.Since(taken), longestRest), t.give)
}

func (t *Turns) take(begun bool) {
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return
	}
	called := make(chan struct{})
	if begun {
		t.begun = append(t.begun, called)
	} else {
		t.fresh = append(t.fresh, called)
	}
	t.mu.Unlock()
	<-called // whoever has a turn gives it back before it waits for anything
}

// give gives a turn to who comes next.
func (t *Turns) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case len(t.begun) > 0:
		close(t.begun[0])
		t.begun = t.begun[1:]
	case len(t.fresh) > 0:
		close(t.fresh[0])
		t.fresh = t.fresh[1:]
	default:
		t.free++
	}
}

// turn is a connection's, while it shakes hands: whoever works on what it has said has the turn, which is given back while
// nothing is said.
type turn struct {
	turns *Turns
	until time.Time // when it is too late: the client has given up, too
	begun bool
	since time.Time // when it was taken; zero if it is not had
}

// read reads from a connection without a turn, and waits for one to work on what came.
func (t *turn) read(conn net.Conn, p []byte) (int, error) {
	t.rest()
	n, err := conn.Read(p)
	if err != nil {
		return n, err
	}
	t.turns.take(t.begun)
	t.begun, t.since = true, time.Now()
	switch {
	case t.since.After(t.until):
		return 0, os.ErrDeadlineExceeded
	case gone(conn):
		return 0, io.EOF
	}
	return n, nil
}

// rest gives the turn back, if it is had.
func (t *turn) rest() {
	if !t.since.IsZero() {
		t.turns.restFrom(t.since)
		t.since = time.Time{}
	}
}

// gone says whether a client has closed its side. What it had said before still lies in the kernel, so that a read does not
// tell. Of a crowd that is more than can be let in within the time that clients wait, most have gone when it is their turn:
// a handshake with them is for nobody, and has the next wait until they have gone, too.
func gone(conn net.Conn) bool {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	left := false
	_ = raw.Control(func(fd uintptr) {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(poll, 0)
		left = err == nil && n > 0 && poll[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
	})
	return left
}
