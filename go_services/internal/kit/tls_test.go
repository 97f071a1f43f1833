package kit_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"github.com/worldmesh/worldmesh/go_services/internal/kittest"
	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

func TestARenewedCertificateIsUsedAndAHalfWrittenOneIsNot(t *testing.T) {
	dir := kittest.NewTLS(t).Dir
	pair, err := kit.LoadKeyPair(filepath.Join(dir, "tls.pem"), filepath.Join(dir, "tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	current := func() []byte {
		t.Helper()
		now = now.Add(time.Minute)
		cert, err := pair.Current(now)
		if err != nil {
			t.Fatal(err)
		}
		return cert.Certificate[0]
	}
	first := current()

	replace(t, filepath.Join(dir, "tls.pem"), []byte("-----BEGIN CERT"), now)
	if !bytes.Equal(current(), first) {
		t.Fatal("a half-written file changed the certificate")
	}
	renewed := kittest.NewTLS(t).Dir
	for _, name := range []string{"tls.key", "tls.pem"} {
		raw, err := os.ReadFile(filepath.Join(renewed, name))
		if err != nil {
			t.Fatal(err)
		}
		replace(t, filepath.Join(dir, name), raw, now.Add(time.Second))
	}
	if bytes.Equal(current(), first) {
		t.Fatal("the renewed certificate is not used")
	}
}

func TestACertificateIsNotReadForEveryConnection(t *testing.T) {
	dir := kittest.NewTLS(t).Dir
	pair, err := kit.LoadKeyPair(filepath.Join(dir, "tls.pem"), filepath.Join(dir, "tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := pair.Current(time.Now()); err != nil {
		t.Fatal(err)
	}
}

// replace writes a file with a time of its own, for tests are faster than the clocks of file systems.
func replace(t *testing.T, path string, raw []byte, modified time.Time) {
	t.Helper()
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, modified, modified); err != nil {
		t.Fatal(err)
	}
}

func TestProxiesOfANewAuthorityAreLetInAndThoseOfTheOldOneAreNot(t *testing.T) {
	certificates := kittest.NewTLS(t)
	app, err := kit.NewApp(t.Context(), certificates.Config("relay"))
	if err != nil {
		t.Fatal(err)
	}
	kittest.Run(t, app)
	before := certificates.DialAsProxy(t, app.GRPCAddr())
	check(t, before)
	old := certificates.DialAsProxy(t, app.GRPCAddr())
	certificates.Renew(t)
	kit.ReadCertificatesAgain(app)
	check(t, before) // a connection that is open goes on
	check(t, certificates.DialAsProxy(t, app.GRPCAddr()))
	if _, err := healthv1.NewHealthClient(old).Check(t.Context(), &healthv1.HealthCheckRequest{}); err == nil {
		t.Error("a proxy of the old authority was let in")
	}
}

// check asks for health until there is an answer.
func check(t *testing.T, conn *grpc.ClientConn) {
	t.Helper()
	_, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{}, grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
}
