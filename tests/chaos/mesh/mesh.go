// Package mesh has test programs speak to relays as gateways do.
package mesh

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// Dial reaches the mesh listener with the certificates in a gateway's folder.
func Dial(address, certs string, options ...grpc.DialOption) (*grpc.ClientConn, error) {
	if host, _, err := net.SplitHostPort(address); err != nil || !net.ParseIP(host).IsLoopback() {
		return nil, fmt.Errorf("%s: only this machine's mesh is asked", address)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(certs, "tls.pem"), filepath.Join(certs, "tls.key"))
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(filepath.Join(certs, "proxies-ca.pem"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	options = append(options, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair}, RootCAs: roots, ServerName: "mesh.worldmesh.internal", MinVersion: tls.VersionTLS12,
	})))
	return grpc.NewClient("passthrough:///"+address, options...)
}
