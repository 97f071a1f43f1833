package main

import "github.com/Shopify/toxiproxy/v2/toxics"

// stall is a network that takes nothing any more and says nothing of it, neither of data nor of an end: as when a cable
// is pulled. What was on its way arrives when it is over, as TCP sends it again.
type stall struct{}

// Pipe waits until it is taken out.
func (*stall) Pipe(stub *toxics.ToxicStub) { <-stub.Interrupt }

func init() { toxics.Register("stall", new(stall)) }
