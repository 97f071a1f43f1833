// The relay holds live rooms.
package main

import (
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"github.com/worldmesh/worldmesh/go_services/relay"
)

func main() { kit.Main(relay.Run) }
