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

// handshake is a connection on which few clients at a time work, until they are done with their handshakes. It works from when
// something has come to when it waits for more.
type handshake struct {
	net.Conn
	waits, works, over bool
}

// knock waits until few others are about to begin.
func (h *handshake) knock() {
	door <- struct{}{}
	h.waits = true
}

// begin begins with a connection that is open.
func (h *handshake) begin(conn net.Conn) {
	h.Conn = conn
	h.work()
	h.enter()
}

func (h *handshake) enter() {
	if h.waits {
		h.waits = false
		<-door
	}
}

func (h *handshake) Read(p []byte) (int, error) {
	h.rest()
	n, err := h.Conn.Read(p)
	if !h.over && err == nil {
		h.work()
	}
	return n, err
}

func (h *handshake) work() {
	handshakes <- struct{}{}
	h.works = true
}

func (h *handshake) rest() {
	if h.works {
		h.works = false
		<-handshakes
	}
}

// done ends it, also if nothing was begun. What is read from now on is no handshake.
func (h *handshake) done() {
	h.over = true
	h.enter()
	h.rest()
}
