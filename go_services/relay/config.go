package relay

import "github.com/worldmesh/worldmesh/go_services/internal/kit"

// Config holds the relay's settings.
type Config struct {
	kit.Config

	// QueueBytes bounds what may wait to be sent to one gateway. Past it the gateway's stream is ended.
	QueueBytes int `env:"WORLDMESH_RELAY_QUEUE_BYTES" envDefault:"8388608"`
}
