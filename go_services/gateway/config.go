package gateway

import (
	"errors"
	"net/netip"
	"time"

	"github.com/worldmesh/worldmesh/go_services/internal/kit"
)

// Config holds the gateway's settings.
type Config struct {
	kit.Config

	// WSSAddr is where clients open their sockets, as host:port.
	WSSAddr string `env:"WORLDMESH_GATEWAY_WSS_ADDR,required,notEmpty"`
	// WSAddr serves sockets without TLS: a convenience of development, refused in production.
	WSAddr string `env:"WORLDMESH_GATEWAY_WS_ADDR"`
	// TLSCert and TLSKey are the public certificate and its key, PEM files.
	TLSCert string `env:"WORLDMESH_GATEWAY_TLS_CERT,required,notEmpty"`
	TLSKey  string `env:"WORLDMESH_GATEWAY_TLS_KEY,required,notEmpty"`
	// Origins are the origins that browsers may come from, exactly.
	Origins []string `env:"WORLDMESH_GATEWAY_ORIGINS"`
	// DescriptorSet is the file that says what clients may call.
	DescriptorSet string `env:"WORLDMESH_DESCRIPTOR_SET,required,notEmpty"`
	// MaxSockets bounds the open sockets.
	MaxSockets int64 `env:"WORLDMESH_GATEWAY_MAX_SOCKETS" envDefault:"15000"`
	// SocketsPerAddress bounds the open sockets of one address (of IPv6, one /64); 0: there is no bound.
	SocketsPerAddress int `env:"WORLDMESH_GATEWAY_SOCKETS_PER_ADDRESS" envDefault:"1000"`
	// Proxies are addresses that pass on other people's sockets, and have no such bound: load balancers, and the edge,
	// which is on this machine unless somebody says otherwise.
	Proxies []netip.Addr `env:"WORLDMESH_GATEWAY_PROXIES" envDefault:"127.0.0.1,::1"`
	// QueueBytes bounds what may wait for one client.
	QueueBytes int `env:"WORLDMESH_GATEWAY_QUEUE_BYTES" envDefault:"262144"`
	// Heartbeat is how often a client that has nothing to say must ping. A socket of which nothing was heard for twice as long
	// is half-open: found within 8 s by default, also behind proxies, which end TCP for it and hear no end of it themselves.
	Heartbeat time.Duration `env:"WORLDMESH_GATEWAY_HEARTBEAT" envDefault:"3500ms"`
	// StateBatch is how long a member's step may wait for company on its way to the relay, before it is known when the
	// room ticks; 0 sends each at once.
	StateBatch time.Duration `env:"WORLDMESH_GATEWAY_STATE_BATCH" envDefault:"5ms"`
}

// Validate refuses what must not be in production.
func (c Config) Validate() error {
	if c.Environment == kit.Production && c.WSAddr != "" {
		return errors.New("settings: WORLDMESH_GATEWAY_WS_ADDR: sockets without TLS are for development only")
	}
	return nil
}
