package relay

import (
	"cmp"
	"time"

	"github.com/worldmesh/worldmesh/go_services/internal/kit"
)

// Config holds the relay's settings.
type Config struct {
	kit.Config
	kit.RedisConfig

	// QueueBytes bounds what may wait to be sent to one gateway. Past it the gateway's stream is ended.
	QueueBytes int `env:"WORLDMESH_RELAY_QUEUE_BYTES" envDefault:"8388608"`
	// Address is where Envoy reaches this relay, as its endpoints have it; by default `WORLDMESH_GRPC_ADDR`.
	Address string `env:"WORLDMESH_RELAY_ADDRESS"`
	// Lease is how long a relay owns its rooms without hearing from Redis. It stops after two thirds of it.
	Lease time.Duration `env:"WORLDMESH_RELAY_LEASE" envDefault:"18s"`
	// Hold is how long a member stays in a room after its connection was lost.
	Hold time.Duration `env:"WORLDMESH_RELAY_HOLD" envDefault:"30s"`
	// RecordDir is a folder into which every room of this relay is recorded: what members do and say. It is made if it
	// is not there. Empty: none is.
	RecordDir string `env:"WORLDMESH_RELAY_RECORD_DIR"`
	// HistoryDir is a folder into which the relay writes what it asks of Redis about rooms and is told, for tests under
	// faults (relay/history). Empty: it does not.
	HistoryDir string `env:"WORLDMESH_RELAY_HISTORY_DIR"`
}

func (c Config) address() string { return cmp.Or(c.Address, c.GRPCAddr) }
