// Retryprobe is a gRPC server in Go that fails in the ways that tests of retries want: it serves every
// method without its meaning, and counts how often each was called. It speaks TLS as a service does.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

func main() {
	certs := flag.String("certs", "", "folder with tls.pem, tls.key and proxies-ca.pem")
	broken := flag.Bool("broken", false, "fail every call, but look healthy")
	flag.Parse()
	pair, err := tls.LoadX509KeyPair(filepath.Join(*certs, "tls.pem"), filepath.Join(*certs, "tls.key"))
	if err != nil {
		log.Fatal(err)
	}
	pem, err := os.ReadFile(filepath.Join(*certs, "proxies-ca.pem"))
	if err != nil {
		log.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	probe := &probe{broken: *broken, calls: map[string]int{}, conns: &connections{Listener: listener, open: map[string]net.Conn{}}}
	server := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(&tls.Config{
			Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
			MinVersion: tls.VersionTLS12,
		})),
		grpc.UnknownServiceHandler(probe.serve),
	)
	healthv1.RegisterHealthServer(server, health.NewServer())
	fmt.Println(listener.Addr().(*net.TCPAddr).Port) //nolint:forcetypeassert // it listens on TCP
	log.Fatal(server.Serve(probe.conns))
}

// connections remembers what it accepted, so that a test can break it.
type connections struct {
	net.Listener
	mu   sync.Mutex
	open map[string]net.Conn
}

func (c *connections) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.mu.Lock()
		c.open[conn.RemoteAddr().String()] = conn
		c.mu.Unlock()
	}
	return conn, err
}

func (c *connections) breakOff(remote string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.open[remote].Close()
	delete(c.open, remote)
}

type probe struct {
	broken bool
	conns  *connections
	mu     sync.Mutex
	calls  map[string]int
}

// serve fails the first call of each key and answers later ones with their number in a trailer. The header
// `x-fail` says how the first one fails: `early` before any response header, `late` after them, `broken` with its
// connection, `hang` by no answer, `never` not at all.
func (p *probe) serve(_ any, stream grpc.ServerStream) error {
	md, _ := metadata.FromIncomingContext(stream.Context())
	key, how := one(md, "x-key"), one(md, "x-fail")
	p.mu.Lock()
	p.calls[key]++
	n := p.calls[key]
	p.mu.Unlock()
	if err := stream.RecvMsg(&emptypb.Empty{}); err != nil {
		return err
	}
	stream.SetTrailer(metadata.Pairs("x-calls", fmt.Sprint(n)))
	if p.broken {
		return status.Error(codes.Unavailable, "every call fails")
	}
	if n > 1 || how == "never" {
		return stream.SendMsg(&emptypb.Empty{})
	}
	switch how {
	case "late":
		if err := stream.SendHeader(nil); err != nil {
			return err
		}
	case "hang":
		<-stream.Context().Done()
	case "broken":
		if from, ok := peer.FromContext(stream.Context()); ok {
			p.conns.breakOff(from.Addr.String())
		}
	}
	return status.Error(codes.Unavailable, "the first call fails")
}

func one(md metadata.MD, key string) string {
	if v := md.Get(key); len(v) > 0 {
		return v[0]
	}
	return ""
}
