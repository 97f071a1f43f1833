package presence

import (
	"time"

	"github.com/worldmesh/worldmesh/go_services/internal/kit"
)

// Config holds presence's settings.
type Config struct {
	kit.Config

	// Lease is how long the sessions of a gateway stay after its stream has ended.
	Lease time.Duration `env:"WORLDMESH_PRESENCE_LEASE" envDefault:"8s"`
	// Settle is how long gateways have to tell an instance that takes a shard over who is online; until then nobody is
	// said to be offline.
	Settle time.Duration `env:"WORLDMESH_PRESENCE_SETTLE" envDefault:"5s"`
	// WatchesPerUser bounds the watches of one user that are open on this instance.
	WatchesPerUser int `env:"WORLDMESH_PRESENCE_WATCHES_PER_USER" envDefault:"10"`
}
