// Presence knows who is online.
package main

import (
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"github.com/worldmesh/worldmesh/go_services/presence"
)

func main() { kit.Main(presence.Run) }
