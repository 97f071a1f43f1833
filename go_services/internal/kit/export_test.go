package kit

import "time"

// ReadCertificatesAgain has the next handshake look at the files: tests do not wait for the reload interval.
func ReadCertificatesAgain(a *App) {
	a.identity.pair.mu.Lock()
	a.identity.pair.checked = time.Time{}
	a.identity.pair.mu.Unlock()
	a.identity.proxies.mu.Lock()
	a.identity.proxies.checked = time.Time{}
	a.identity.proxies.mu.Unlock()
}
