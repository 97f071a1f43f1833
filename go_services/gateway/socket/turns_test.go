package socket

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
)

func TestWhoSaysNothingOrOnlyBeginsTakesNoTurn(t *testing.T) {
	l := open(t, true, nil)
	for _, said := range []string{"", "\x16\x03\x01\x02\x00\x01"} { // nothing, and how a ClientHello begins
		conn, err := net.Dial("tcp", l.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte(said)); err != nil {
			t.Fatal(err)
		}
	}
	l.pair(dialect.FlatBuffers) // with the only turn
	l.turns.take(false)         // or waits for good
}

func TestATurnIsGivenBackByHandshakesThatFail(t *testing.T) {
	l := open(t, true, nil)
	for range 3 {
		conn, err := tls.Dial("tcp", l.addr, &tls.Config{ServerName: "127.0.0.1"}) // does not know the authority
		if err == nil {
			_ = conn.Close()
			t.Fatal("shook hands")
		}
	}
	l.pair(dialect.FlatBuffers)
}

func TestWhoHasBegunGoesBeforeWhoHasNot(t *testing.T) {
	turns := NewTurns(1)
	turns.take(false)
	order := make(chan string)
	wait := func(who string, begun bool) {
		before := turns.Waiting()
		go func() {
			turns.take(begun)
			order <- who
		}()
		for turns.Waiting() == before {
			time.Sleep(time.Millisecond)
		}
	}
	wait("first", false)
	wait("second", false)
	wait("begun", true)
	var got []string
	for range 3 {
		turns.give()
		got = append(got, <-order)
	}
	if !slices.Equal(got, []string{"begun", "first", "second"}) {
		t.Errorf("came in the order %v", got)
	}
}

func TestATurnThatComesTooLateIsNotUsed(t *testing.T) {
	turns := NewTurns(1)
	here, there := net.Pipe()
	defer here.Close()
	go func() { _, _ = there.Write([]byte{1}) }()
	late := turn{turns: turns, until: time.Now()}
	if _, err := late.read(here, make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
	late.rest()
	turns.take(false) // or waits for good
}

func TestNothingIsWorkedForWhoHasGone(t *testing.T) {
	var handshakes, places atomic.Int32
	l := open(t, true, func(l *Listener) {
		acquire := l.Acquire
		l.Acquire = func() bool {
			places.Add(1)
			return acquire()
		}
		l.TLS.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			handshakes.Add(1)
			return nil, nil //nolint:nilnil // as it is
		}
	})
	l.turns.take(false) // somebody else has the only one
	hello := clientHello(t)
	leave := func(conn net.Conn) {
		if _, err := conn.Write(hello); err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
	}
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", l.addr)
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	accepted := dial()
	for l.turns.Waiting() == 0 { // until it waits for its turn
		time.Sleep(time.Millisecond)
	}
	leave(accepted)
	leave(dial()) // which waits in the kernel
	l.turns.give()
	l.pair(dialect.FlatBuffers)
	if n := handshakes.Load(); n != 1 {
		t.Errorf("%d handshakes were begun for one client who is there", n)
	}
	if n := places.Load(); n != 2 {
		t.Errorf("%d places were taken by one who is there and one who was", n)
	}
}

// clientHello is what a client says first.
func clientHello(t *testing.T) []byte {
	t.Helper()
	here, there := net.Pipe()
	defer here.Close()
	go func() {
		defer there.Close()
		_ = tls.Client(there, &tls.Config{ServerName: "127.0.0.1"}).Handshake()
	}()
	hello := make([]byte, 16<<10)
	n, err := here.Read(hello)
	if err != nil {
		t.Fatal(err)
	}
	return hello[:n]
}

func TestATurnRestsForAsLongAsItWasHadButNotWhileItWaitedForAProcessor(t *testing.T) {
	for had, rests := range map[time.Duration]time.Duration{
		3 * time.Millisecond: 3 * time.Millisecond, 40 * time.Millisecond: longestRest,
	} {
		synctest.Test(t, func(t *testing.T) {
			turns := NewTurns(1)
			turns.take(false)
			taken := turn{turns: turns, since: time.Now()}
			time.Sleep(had)
			taken.rest()
			rested := time.Now()
			turns.take(false)
			if rest := time.Since(rested); rest != rests {
				t.Errorf("had for %v, the next had it %v later, not %v", had, rest, rests)
			}
		})
	}
}
