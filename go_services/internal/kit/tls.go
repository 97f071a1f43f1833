package kit

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
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

// identity is a service's own certificate and the authority that signs proxies: the only peers it has.
type identity struct {
	pair    *KeyPair
	proxies *x509.CertPool
}

func loadIdentity(dir string) (*identity, error) {
	pair, err := LoadKeyPair(filepath.Join(dir, "tls.pem"), filepath.Join(dir, "tls.key"))
	if err != nil {
		return nil, err
	}
	caFile := filepath.Join(dir, "proxies-ca.pem")
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("read certificate authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", caFile)
	}
	return &identity{pair: pair, proxies: pool}, nil
}

// server accepts connections of proxies only.
func (id *identity) server() *tls.Config {
	cfg := id.pair.ServerTLS()
	cfg.ClientAuth = tls.RequireAndVerifyClientCert
	cfg.ClientCAs = id.proxies
	return cfg
}

// client dials the mesh Envoy only.
func (id *identity) client() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		RootCAs:    id.proxies,
		ServerName: meshServerName,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return id.pair.Current(time.Now())
		},
	}
}
