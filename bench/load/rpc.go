package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"time"

	identityv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/identity/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
)

// warmup is how many calls come before those that count.
const warmup = 300

// Latency is of one kind of call by one way.
type Latency struct {
	P50 float64 `json:"p50_us"`
	P99 float64 `json:"p99_us"`
}

type call func(ctx context.Context, conn *grpc.ClientConn) error

// runRPC measures a unary call to a Python and to a Go service, straight to its port (as a proxy) and through the mesh
// Envoy (as the gateway), in turns, so that the machine's moods meet all of them.
func runRPC(p Plan) (map[string]Latency, error) {
	calls := map[string]call{
		"python": func(ctx context.Context, conn *grpc.ClientConn) error {
			_, err := identityv1.NewIdentityServiceClient(conn).GetJwks(ctx, &identityv1.GetJwksRequest{})
			return err
		},
		"go": func(ctx context.Context, conn *grpc.ClientConn) error {
			ctx = metadata.AppendToOutgoingContext(ctx, "x-room-id", "room_plaza", "x-worldmesh-caller", "gateway")
			_, err := roomv1.NewRoomServiceClient(conn).GetLiveRoom(ctx, &roomv1.GetLiveRoomRequest{RoomId: "room_plaza"})
			return err
		},
	}
	services := map[string]string{"python": "identity", "go": "relay"}
	took := map[string][]float64{}
	for language, do := range calls {
		direct, err := dial(p.Target[services[language]], p.Certs, "envoy-mesh", "services-ca.pem", services[language])
		if err != nil {
			return nil, err
		}
		mesh, err := dial(p.Target["mesh"], p.Certs, "gateway", "proxies-ca.pem", "mesh")
		if err != nil {
			return nil, err
		}
		for i := range warmup + p.Calls {
			for way, conn := range map[string]*grpc.ClientConn{"direct": direct, "envoy": mesh} {
				start := time.Now()
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				err := do(ctx, conn)
				cancel()
				if err != nil {
					return nil, fmt.Errorf("%s %s: %w", language, way, err)
				}
				if i >= warmup {
					took[language+"_"+way] = append(took[language+"_"+way], float64(time.Since(start).Nanoseconds())/1000)
				}
			}
		}
	}
	result := map[string]Latency{}
	for name, values := range took {
		result[name] = Latency{P50: percentile(values, 0.5), P99: percentile(values, 0.99)}
	}
	return result, nil
}

func dial(addr, certs, owner, authority, name string) (*grpc.ClientConn, error) {
	folder := filepath.Join(certs, owner)
	pair, err := tls.LoadX509KeyPair(filepath.Join(folder, "tls.pem"), filepath.Join(folder, "tls.key"))
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(filepath.Join(folder, authority))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair}, RootCAs: pool, ServerName: name + ".worldmesh.internal",
		MinVersion: tls.VersionTLS12,
	})))
}
