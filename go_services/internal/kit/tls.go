package kit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/worldmesh/worldmesh/go_services/internal/rawio"
	"google.golang.org/grpc/credentials"
)

// meshServerName is the DNS name in the mesh Envoy's certificate.
const meshServerName = "mesh.worldmesh.internal"

// reloadInterval bounds how long a renewed certificate waits before new connections use it.
const reloadInterval = 10 * time.Second

// KeyPair is a certificate on disk that is read again after it was renewed.
type KeyPair struct {
	certFile, keyFile string

	mu      sync.Mutex
	cert    *tls.Certificate
	modTime time.Time
	checked time.Time
}

// LoadKeyPair reads a certificate and its key; both are PEM.
func LoadKeyPair(certFile, keyFile string) (*KeyPair, error) {
	k := &KeyPair{certFile: certFile, keyFile: keyFile}
	if _, err := k.Current(time.Now()); err != nil {
		return nil, err
	}
	return k, nil
}

// Current returns the certificate as it is on disk, looked at no more often than the reload interval. A renewal that
// can't be read (half written) leaves the one before in use.
func (k *KeyPair) Current(now time.Time) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.cert != nil && now.Sub(k.checked) < reloadInterval {
		return k.cert, nil
	}
	k.checked = now
	info, err := os.Stat(k.certFile)
	if err == nil && k.cert != nil && info.ModTime().Equal(k.modTime) {
		return k.cert, nil
	}
	cert, loadErr := tls.LoadX509KeyPair(k.certFile, k.keyFile)
	if loadErr != nil {
		if k.cert != nil {
			return k.cert, nil
		}
		return nil, fmt.Errorf("read certificate %s: %w", k.certFile, loadErr)
	}
	k.cert = &cert
	if err == nil {
		k.modTime = info.ModTime()
	}
	return k.cert, nil
}

// ServerTLS is for a server that serves k to anybody.
func (k *KeyPair) ServerTLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return k.Current(time.Now())
		},
	}
}

// identity is a service's own certificate and the authorities that sign proxies: the only peers it has. Both are read
// again after they were renewed.
type identity struct {
	pair    *KeyPair
	proxies *authorities
}

func loadIdentity(dir string) (*identity, error) {
	pair, err := LoadKeyPair(filepath.Join(dir, "tls.pem"), filepath.Join(dir, "tls.key"))
	if err != nil {
		return nil, err
	}
	proxies := &authorities{file: filepath.Join(dir, "proxies-ca.pem")}
	if _, err := proxies.current(time.Now()); err != nil {
		return nil, err
	}
	return &identity{pair: pair, proxies: proxies}, nil
}

// authorities are the certificates in a file by which peers are known. While they are renewed, old and new stand in it.
type authorities struct {
	file string

	mu      sync.Mutex
	pool    *x509.CertPool
	modTime time.Time
	checked time.Time
}

// current is the pool as it is on disk, looked at no more often than the reload interval. What can not be read leaves the
// one before in use.
func (a *authorities) current(now time.Time) (*x509.CertPool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pool != nil && now.Sub(a.checked) < reloadInterval {
		return a.pool, nil
	}
	a.checked = now
	info, err := os.Stat(a.file)
	if err == nil && a.pool != nil && info.ModTime().Equal(a.modTime) {
		return a.pool, nil
	}
	pem, err := os.ReadFile(a.file)
	pool := x509.NewCertPool()
	switch {
	case err == nil && pool.AppendCertsFromPEM(pem):
		a.pool = pool
		if info != nil {
			a.modTime = info.ModTime()
		}
	case a.pool != nil: // as before
	case err != nil:
		return nil, fmt.Errorf("read certificate authority: %w", err)
	default:
		return nil, fmt.Errorf("%s holds no certificate", a.file)
	}
	return a.pool, nil
}

// server accepts connections of proxies only.
func (id *identity) server() (*tls.Config, error) {
	proxies, err := id.proxies.current(time.Now())
	if err != nil {
		return nil, err
	}
	cfg := id.pair.ServerTLS()
	cfg.ClientAuth = tls.RequireAndVerifyClientCert
	cfg.ClientCAs = proxies
	return cfg, nil
}

// client dials the mesh Envoy only.
func (id *identity) client() (*tls.Config, error) {
	proxies, err := id.proxies.current(time.Now())
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		RootCAs:    proxies,
		ServerName: meshServerName,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return id.pair.Current(time.Now())
		},
	}, nil
}

// credentials are TLS as it is configured at the time of each handshake.
func (id *identity) credentials() credentials.TransportCredentials {
	return &renewed{id: id, TransportCredentials: credentials.NewTLS(&tls.Config{ServerName: meshServerName})}
}

// renewed asks for its configuration at each handshake. What it has of the one inside says of which kind it is.
type renewed struct {
	credentials.TransportCredentials
	id *identity
}

// ClientHandshake is credentials.TransportCredentials.
func (r *renewed) ClientHandshake(
	ctx context.Context, authority string, conn net.Conn,
) (net.Conn, credentials.AuthInfo, error) {
	cfg, err := r.id.client()
	if err != nil {
		return nil, nil, err
	}
	return credentials.NewTLS(cfg).ClientHandshake(ctx, authority, quick(conn))
}

// ServerHandshake is credentials.TransportCredentials.
func (r *renewed) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	cfg, err := r.id.server()
	if err != nil {
		return nil, nil, err
	}
	return credentials.NewTLS(cfg).ServerHandshake(quick(conn))
}

// quick is a connection that costs less to read and write, if it is the kernel's and nothing is around it.
func quick(conn net.Conn) net.Conn {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn
	}
	q := &rawio.Conn{}
	if q.Open(tcp) != nil {
		return conn
	}
	return q
}

// Clone is credentials.TransportCredentials.
func (r *renewed) Clone() credentials.TransportCredentials {
	return &renewed{id: r.id, TransportCredentials: r.TransportCredentials.Clone()}
}
