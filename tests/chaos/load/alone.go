package main

import "net"

// handshakes bounds the clients that work on their handshakes. They have machines of their own, in truth: they must not take the
// processor from those who measure how others fare.
var handshakes = make(chan struct{}, 1)

// door bounds those who have not begun and wait for that: so those who have wait for few of these, and answer the gateway about
// as soon as they would on machines of their own.
var door = make(chan struct{}, 1)

// several has so many work at once: on a busy machine each waits for the processor in between, and all others for it. It is
// called before any of them comes.
func several(n int) { handshakes, door = make(chan struct{}, n), make(chan struct{}, n) }

// atOnce is how many do where no crowd comes.
const atOnce = 16

// alone is a connection on which few clients at a time work, until they are done with their handshakes. It works from when
// something has come to when it waits for more.
type alone struct {
	net.Conn
	waits, works, over bool
}

// knock waits until few others are about to begin.
func (a *alone) knock() {
	door <- struct{}{}
	a.waits = true
}

// begin begins with a connection that is open.
func (a *alone) begin(conn net.Conn) {
	a.Conn = conn
	a.work()
	a.enter()
}

func (a *alone) enter() {
	if a.waits {
		a.waits = false
		<-door
	}
}

func (a *alone) Read(p []byte) (int, error) {
	a.rest()
	n, err := a.Conn.Read(p)
	if !a.over && err == nil {
		a.work()
	}
	return n, err
}

func (a *alone) work() {
	handshakes <- struct{}{}
	a.works = true
}

func (a *alone) rest() {
	if a.works {
		a.works = false
		<-handshakes
	}
}

// done ends it, also if nothing was begun. What is read from now on is no handshake.
func (a *alone) done() {
	a.over = true
	a.enter()
	a.rest()
}
