package rawio

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// pair is a connection, and its other end.
func pair(t *testing.T) (*Conn, *net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	there, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = there.Close() })
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	here := &Conn{}
	if err := here.Open(accepted); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = here.Close() })
	other, ok := there.(*net.TCPConn)
	if !ok {
		t.Fatalf("%T", there)
	}
	return here, other
}

func TestAllIsWrittenAndRead(t *testing.T) {
	here, there := pair(t)
	sent := make([]byte, 16<<20) // more than the kernel takes at once, both ways
	_, _ = rand.Read(sent)
	echoed := make(chan error, 1)
	go func() {
		_, err := io.Copy(there, there)
		_ = there.CloseWrite()
		echoed <- err
	}()
	written := make(chan error, 1)
	go func() {
		n, err := here.Write(sent)
		if n != len(sent) {
			err = errors.Join(err, io.ErrShortWrite)
		}
		written <- err
	}()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(here, got); err != nil {
		t.Fatal(err)
	}
	if err := <-written; err != nil || !bytes.Equal(got, sent) {
		t.Errorf("what came is what was sent: %v, %v", bytes.Equal(got, sent), err)
	}
}

func TestReadTellsTheEndAndDeadlines(t *testing.T) {
	here, there := pair(t)
	if err := here.SetDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := here.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read when it was too late: %v", err)
	}
	if _, err := here.Write([]byte{1}); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("wrote when it was too late: %v", err)
	}
	if err := here.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if n, err := here.Read(nil); n != 0 || err != nil {
		t.Errorf("read nothing: %d, %v", n, err)
	}
	if err := there.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := here.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("read at the end: %v", err)
	}
}

func TestAConnectionThatIsResetSaysSo(t *testing.T) {
	here, there := pair(t)
	if err := there.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = there.Close()
	if _, err := here.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read: %v", err)
	}
	if _, err := here.Write([]byte{1}); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("write: %v", err)
	}
	if _, err := here.TryWrite([]byte{1}); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("try: %v", err)
	}
	_ = here.Close()
	if _, err := here.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read of a closed one: %v", err)
	}
}

func TestTryWriteTakesWhatThereIsRoomFor(t *testing.T) {
	here, _ := pair(t)
	if n, err := here.TryWrite(nil); n != 0 || err != nil {
		t.Errorf("nothing: %d, %v", n, err)
	}
	data, taken := make([]byte, 1<<20), 0
	for {
		n, err := here.TryWrite(data)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		taken += n
	}
	if taken == 0 {
		t.Error("nothing was taken")
	}
}

func TestOnlyConnectionsOfTheKernelAreOpened(t *testing.T) {
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	if err := new(Conn).Open(here); err == nil {
		t.Error("opened a pipe")
	}
}

// The race detector finds one here if it is not told that what is read was written before.
func TestWhatHappensBeforeAWriteHappensBeforeItIsRead(t *testing.T) {
	type write func([]byte) (int, error)
	for name, ends := range map[string]func(*Conn, *net.TCPConn) (write, net.Conn){
		"Write":    func(here *Conn, there *net.TCPConn) (write, net.Conn) { return here.Write, there },
		"TryWrite": func(here *Conn, there *net.TCPConn) (write, net.Conn) { return here.TryWrite, there },
		"Read":     func(here *Conn, there *net.TCPConn) (write, net.Conn) { return there.Write, here },
	} {
		t.Run(name, func(t *testing.T) {
			send, receiver := ends(pair(t))
			told := 0
			go func() {
				told = 1
				_, _ = send([]byte{1})
			}()
			if _, err := receiver.Read(make([]byte, 1)); err != nil || told != 1 {
				t.Errorf("told: %d, %v", told, err)
			}
		})
	}
}
