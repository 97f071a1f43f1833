// The floor: a bare single-process WebSocket fan-out server with a 50 ms tick. It does nothing that a room server could
// leave out: no tokens, no checks, no ordered channel, no second process. What Worldmesh costs is measured against it.
//
// A client opens /ROOM and sends updates of 64 bytes; once a tick each member of the room gets all updates of the tick
// in one message.
package main

import (
	"bufio"
	"crypto/tls"
	"flag"
	"io"
	"log"
	"net"
	"sync"
	"time"

	"github.com/gobwas/ws"
)

const (
	tick       = 50 * time.Millisecond
	updateSize = 64
)

type room struct {
	mu      sync.Mutex
	members map[net.Conn]struct{}
	pending []byte
}

type server struct {
	mu    sync.Mutex
	rooms map[string]*room
}

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "where to listen")
	cert := flag.String("cert", "", "certificate, PEM; with it the server speaks TLS")
	key := flag.String("key", "", "the certificate's key, PEM")
	flag.Parse()
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	if *cert != "" {
		pair, err := tls.LoadX509KeyPair(*cert, *key)
		if err != nil {
			log.Fatal(err)
		}
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
	}
	s := &server{rooms: map[string]*room{}}
	for {
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go s.serve(conn)
	}
}

func (s *server) serve(conn net.Conn) {
	defer conn.Close()
	var path string
	upgrader := ws.Upgrader{ReadBufferSize: 1024, WriteBufferSize: 512, OnRequest: func(uri []byte) error {
		path = string(uri)
		return nil
	}}
	if _, err := upgrader.Upgrade(conn); err != nil {
		return
	}
	r := s.join(path, conn)
	defer r.leave(conn)
	reader := bufio.NewReaderSize(conn, 512)
	var update [updateSize]byte
	for {
		header, err := ws.ReadHeader(reader)
		if err != nil || header.Length > updateSize {
			return
		}
		if _, err := io.ReadFull(reader, update[:header.Length]); err != nil {
			return
		}
		if header.OpCode != ws.OpBinary {
			continue
		}
		ws.Cipher(update[:header.Length], header.Mask, 0)
		r.mu.Lock()
		r.pending = append(r.pending, update[:header.Length]...)
		r.mu.Unlock()
	}
}

func (s *server) join(name string, conn net.Conn) *room {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rooms[name]
	if r == nil {
		r = &room{members: map[net.Conn]struct{}{}}
		s.rooms[name] = r
		go r.run()
	}
	r.mu.Lock()
	r.members[conn] = struct{}{}
	r.mu.Unlock()
	return r
}

func (r *room) leave(conn net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.members, conn)
}

func (r *room) run() {
	for range time.Tick(tick) {
		r.mu.Lock()
		if len(r.pending) > 0 {
			frame := ws.MustCompileFrame(ws.NewBinaryFrame(r.pending))
			for conn := range r.members {
				_, _ = conn.Write(frame)
			}
			r.pending = r.pending[:0]
		}
		r.mu.Unlock()
	}
}
