package kit

import (
	"context"
	"fmt"
	"io"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
)

// A connection of which nothing is heard for keepaliveTime, the least that gRPC has, is asked, and is over if nothing is
// heard for keepaliveTimeout more.
const (
	keepaliveTime    = 10 * time.Second
	keepaliveTimeout = 3 * time.Second
)

// Windows as Envoy has them towards services and callers. With gRPC's own, 64 KB to begin with, a way there and back of 200
// ms carries 320 KB/s, less than a gateway's rooms, and all calls of the process wait for each other.
const (
	streamWindow     = 1 << 20
	connectionWindow = 8 << 20
)

// dialMesh opens the one channel through which a service reaches all others. It does not retry: Envoy does.
func dialMesh(addr string, id *identity, m *rpcMetrics) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient("passthrough:///"+addr,
		grpc.WithTransportCredentials(id.credentials()),
		grpc.WithStatsHandler(otelgrpc.NewClientHandler()),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
		grpc.WithChainUnaryInterceptor(m.unaryClient),
		grpc.WithChainStreamInterceptor(m.streamClient),
		grpc.WithInitialWindowSize(streamWindow),
		grpc.WithInitialConnWindowSize(connectionWindow),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 2 * time.Second,
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("dial the mesh at %s: %w", addr, err)
	}
	return conn, nil
}

func (m *rpcMetrics) unaryClient(
	ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
) error {
	start := time.Now()
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultDeadline)
		defer cancel()
	}
	err := invoke(ctx, method, req, reply, cc, opts...)
	observe(m.client, method, status.Code(err), start)
	return err
}

func (m *rpcMetrics) streamClient(
	ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	start := time.Now()
	stream, err := open(ctx, desc, cc, method, opts...)
	if err != nil {
		observe(m.client, method, status.Code(err), start)
		return nil, err
	}
	return &observedStream{ClientStream: stream, method: method, start: start, metrics: m}, nil
}

// observedStream counts a stream when it ends.
type observedStream struct {
	grpc.ClientStream
	method  string
	start   time.Time
	metrics *rpcMetrics
	done    bool
}

func (s *observedStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err != nil && !s.done {
		s.done = true
		code := status.Code(err)
		if err == io.EOF { //nolint:errorlint // gRPC returns it bare
			code = 0
		}
		observe(s.metrics.client, s.method, code, s.start)
	}
	return err
}
