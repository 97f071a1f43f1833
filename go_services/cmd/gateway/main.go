// The gateway carries clients' sockets.
package main

import (
	"github.com/worldmesh/worldmesh/go_services/gateway"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
)

func main() { kit.Main(gateway.Run) }
