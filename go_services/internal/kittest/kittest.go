// Package kittest runs services in tests as they run in the mesh: behind mTLS, called by a proxy.
package kittest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

const serverName = "service.worldmesh.internal"

// authority is a certificate authority of the test's own.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// TLS is a service's folder of certificates, and what a proxy needs to call it.
type TLS struct {
	// Dir is for WORLDMESH_TLS_DIR.
	Dir      string
	services authority
	proxies  authority
}

// NewTLS makes authorities and a service's certificate.
func NewTLS(t testing.TB) *TLS {
	t.Helper()
	f := &TLS{Dir: t.TempDir()}
	f.Renew(t)
	return f
}

// Renew replaces the authorities and the service's certificate, as if all had come to their end.
func (f *TLS) Renew(t testing.TB) {
	t.Helper()
	f.services, f.proxies = newAuthority(t, "services"), newAuthority(t, "proxies")
	pair := f.services.issue(t)
	write(t, filepath.Join(f.Dir, "tls.pem"), "CERTIFICATE", pair.Certificate[0])
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(f.Dir, "tls.key"), "PRIVATE KEY", key)
	write(t, filepath.Join(f.Dir, "proxies-ca.pem"), "CERTIFICATE", f.proxies.cert.Raw)
}

// Config is a service's settings on ports of the system's choice.
func (f *TLS) Config(service string) kit.Config {
	return kit.Config{
		Service: service, Instance: service + "-0", Environment: kit.Development,
		GRPCAddr: "127.0.0.1:0", AdminAddr: "127.0.0.1:0", MeshAddr: "127.0.0.1:1",
		TLSDir: f.Dir, LogLevel: "error", DrainSeconds: 1,
	}
}

// Run runs an app until the test ends.
func Run(t testing.TB, app *kit.App) {
	t.Helper()
	RunUntil(t, context.Background(), app)
}

// RunUntil runs an app until ctx or the test ends.
func RunUntil(t testing.TB, ctx context.Context, app *kit.App) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the service ended with %v", err)
		}
	})
}

// DialAsProxy calls a service as Envoy does.
func (f *TLS) DialAsProxy(t testing.TB, addr string) *grpc.ClientConn {
	return f.dial(t, addr, f.proxies)
}

// DialAsService calls a service with the certificate of another: it must refuse.
func (f *TLS) DialAsService(t testing.TB, addr string) *grpc.ClientConn {
	return f.dial(t, addr, f.services)
}

func (f *TLS) dial(t testing.TB, addr string, as authority) *grpc.ClientConn {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(f.services.cert)
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{as.issue(t)}, RootCAs: roots, ServerName: serverName, MinVersion: tls.VersionTLS12,
	})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func newAuthority(t testing.TB, name string) authority {
	t.Helper()
	key := newKey(t)
	template := template(name + " CA")
	template.IsCA, template.KeyUsage, template.BasicConstraintsValid = true, x509.KeyUsageCertSign, true
	return authority{cert: sign(t, template, template, key, key), key: key}
}

func (a authority) issue(t testing.TB) tls.Certificate {
	t.Helper()
	key := newKey(t)
	leaf := template(serverName)
	leaf.DNSNames = []string{serverName}
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	cert := sign(t, leaf, a.cert, key, a.key)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func template(name string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Minute), NotAfter: now.Add(time.Hour),
	}
}

func sign(t testing.TB, cert, parent *x509.Certificate, key, by *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	raw, err := x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func write(t testing.TB, path, kind string, raw []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}), 0o600); err != nil {
		t.Fatal(err)
	}
}
