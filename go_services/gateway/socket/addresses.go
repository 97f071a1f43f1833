package socket

import (
	"net"
	"net/netip"
	"slices"
	"sync"
)

// ownNetwork is how many bits of an IPv6 address its holder can not choose: people have whole networks.
const ownNetwork = 64

// Addresses bounds the sockets of each remote address, over all listeners. The nil one bounds nothing.
type Addresses struct {
	most   int
	exempt []netip.Addr

	mu   sync.Mutex
	open map[netip.Addr]int
}

// NewAddresses makes a bound of so many sockets an address; 0: there is none. Those that are exempt are proxies, whose
// sockets are other people's.
func NewAddresses(most int, exempt []netip.Addr) *Addresses {
	if most == 0 {
		return nil
	}
	return &Addresses{most: most, exempt: exempt, open: map[netip.Addr]int{}}
}

// take takes a place of a connection's address, and says how to give it back; false if there is none.
func (a *Addresses) take(conn interface{ RemoteAddr() net.Addr }) (give func(), ok bool) {
	remote, known := addressOf(conn)
	if a == nil || !known || slices.Contains(a.exempt, remote) {
		return func() {}, true
	}
	if remote.Is6() {
		remote = netip.PrefixFrom(remote, ownNetwork).Masked().Addr()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open[remote] >= a.most {
		return nil, false
	}
	a.open[remote]++
	return func() { a.give(remote) }, true
}

func (a *Addresses) give(remote netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open[remote]--
	if a.open[remote] == 0 {
		delete(a.open, remote)
	}
}

func addressOf(conn interface{ RemoteAddr() net.Addr }) (netip.Addr, bool) {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, false
	}
	return tcp.AddrPort().Addr().Unmap().WithZone(""), true
}
