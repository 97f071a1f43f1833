// Package gateway carries clients' sockets: frames become RPCs and inputs of rooms, what rooms say becomes frames.
//
// The protocol of a socket is in package session, its messages in package dialect, the WebSocket in package socket.
// Here is what drives them: a client for each socket, an attachment for each room that some client is in, the check
// of tokens, calls of RPCs, and presence.
package gateway
