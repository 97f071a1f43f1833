package main

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/Shopify/toxiproxy/v2/toxics"
)

// loss is a network that loses packets, as TCP shows it to those who speak over it: what follows a lost one waits until
// it was sent again, and twice as long if it is lost again; who loses too many in a row loses the connection.
type loss struct {
	// Rate is the share of packets that are lost.
	Rate float64 `json:"rate"`
	// Again is how long it takes until a packet is sent again, in ms; TCP waits at least 200.
	Again int64 `json:"again"`
	// Resets is the share of losses that end the connection.
	Resets float64 `json:"resets"`
	// Seed makes the same losses again.
	Seed uint64 `json:"seed"`

	connections atomic.Uint64
}

// packetsLost counts them on all links.
var packetsLost atomic.Int64

// NewState gives each connection losses of its own.
func (l *loss) NewState() any { return rand.New(rand.NewPCG(l.Seed, l.connections.Add(1))) }

// Pipe passes on what comes, now and then late.
func (l *loss) Pipe(stub *toxics.ToxicStub) {
	dice, _ := stub.State.(*rand.Rand)
	for {
		select {
		case <-stub.Interrupt:
			return
		case chunk := <-stub.Input:
			if chunk == nil {
				stub.Close()
				return
			}
			late := time.Duration(0)
			for again := time.Duration(l.Again) * time.Millisecond; dice.Float64() < l.Rate; again *= 2 {
				packetsLost.Add(1)
				if dice.Float64() < l.Resets {
					stub.Close()
					return
				}
				late += again
			}
			select {
			case <-time.After(late):
				stub.Output <- chunk
			case <-stub.Interrupt:
				stub.Output <- chunk
				return
			}
		}
	}
}

func init() { toxics.Register("loss", new(loss)) }
