// Package relay serves live rooms to gateways. The behaviour of a room is in package room; here are the streams, the
// ticks and the encoding around it.
//
// A live room is a lock, a core and a timer: inputs run on the goroutine of the stream that they came by, and a tick
// is armed only while something has changed, so a room where nothing happens costs nothing.
package relay
