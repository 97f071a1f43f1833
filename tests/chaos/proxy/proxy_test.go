package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
)

// echo is a server that says again what it hears, and a link to it.
func echo(t *testing.T) (map[string]*toxiproxy.Proxy, string) {
	t.Helper()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			}()
		}
	}()
	links := fmt.Sprintf(`[{"name":"a.b","listen":"127.0.0.1:0","upstream":%q}]`, server.Addr().String())
	proxies, err := open([]byte(links))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxies["a.b"].Stop)
	return proxies, proxies["a.b"].Listen
}

func say(t *testing.T, proxies map[string]*toxiproxy.Proxy, command string) {
	t.Helper()
	if err := obey(proxies, []byte(command)); err != nil {
		t.Fatal(err)
	}
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestWhatIsStalledArrivesWhenTheLinkIsGoodAgain(t *testing.T) {
	proxies, address := echo(t)
	conn := dial(t, address)
	lines := bufio.NewReader(conn)
	for round := range 3 {
		say(t, proxies, `{"link":"a.b","fault":"stall","way":"both"}`)
		if _, err := fmt.Fprintf(conn, "hello %d\n", round); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if line, err := lines.ReadString('\n'); err == nil {
			t.Fatalf("%q came through", line)
		}
		_ = conn.SetReadDeadline(time.Time{})
		say(t, proxies, `{"link":"a.b","fault":"heal"}`)
		if line, err := lines.ReadString('\n'); err != nil || line != fmt.Sprintf("hello %d\n", round) {
			t.Fatalf("%q, %v", line, err)
		}
	}
}

// TestAStallIsOverForAllAtOnce also if others have gone meanwhile, for whom nobody takes anything any more; and the next one
// is for all again.
func TestAStallIsOverForAllAtOnce(t *testing.T) {
	proxies, address := echo(t)
	conn := dial(t, address)
	lines := bufio.NewReader(conn)
	for round := range 3 {
		say(t, proxies, `{"link":"a.b","fault":"stall","way":"both"}`)
		for range 10 {
			gone := dial(t, address)
			if _, err := gone.Write(make([]byte, 16<<10)); err != nil {
				t.Fatal(err)
			}
			_ = gone.(*net.TCPConn).SetLinger(0)
			_ = gone.Close()
		}
		late := dial(t, address)
		for _, c := range []net.Conn{conn, late} {
			if _, err := fmt.Fprintln(c, round); err != nil {
				t.Fatal(err)
			}
			_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			if n, err := c.Read(make([]byte, 1)); err == nil {
				t.Fatalf("%d bytes came through", n)
			}
			_ = c.SetReadDeadline(time.Now().Add(3 * time.Second)) // toxiproxy by itself waits for five
		}
		say(t, proxies, `{"link":"a.b","fault":"heal"}`)
		for _, reader := range []*bufio.Reader{lines, bufio.NewReader(late)} {
			if line, err := reader.ReadString('\n'); err != nil || line != fmt.Sprintln(round) {
				t.Errorf("%q, %v", line, err)
			}
		}
	}
}

func TestACutLinkEndsItsConnectionsAndRefusesNewOnesUntilItIsHealed(t *testing.T) {
	proxies, address := echo(t)
	conn := dial(t, address)
	say(t, proxies, `{"link":"a.b","fault":"cut","way":"both"}`)
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the connection lives")
	}
	if other, err := net.Dial("tcp", address); err == nil {
		_ = other.Close()
		t.Error("a new connection was taken")
	}
	say(t, proxies, `{"link":"a.b","fault":"heal"}`)
	again := dial(t, address)
	if _, err := fmt.Fprintln(again, "hello"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(again).ReadString('\n'); err != nil || line != "hello\n" {
		t.Errorf("%q, %v", line, err)
	}
}

func TestLossTakesNothingAwayAndChangesNoOrder(t *testing.T) {
	proxies, address := echo(t)
	say(t, proxies, `{"link":"a.b","fault":"loss","way":"both","attributes":{"rate":0.5,"again":1,"resets":0,"seed":1}}`)
	conn := dial(t, address)
	lines := bufio.NewReader(conn)
	for n := range 100 {
		if _, err := fmt.Fprintln(conn, n); err != nil {
			t.Fatal(err)
		}
		if line, err := lines.ReadString('\n'); err != nil || line != fmt.Sprintln(n) {
			t.Fatalf("%q, %v", line, err)
		}
	}
}

func TestOnlyThisMachineIsReached(t *testing.T) {
	if _, err := open([]byte(`[{"name":"x","listen":"127.0.0.1:0","upstream":"192.0.2.1:80"}]`)); err == nil {
		t.Error("a link to elsewhere was opened")
	}
}
