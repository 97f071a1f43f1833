package socket

import (
	"encoding/binary"

	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
)

// The first bytes of unfragmented messages.
const (
	finalText   = 0x81
	finalBinary = 0x82
)

// AppendFrame appends a message as it goes over the wire, the same bytes for all sockets of a dialect. A server does
// not mask.
func AppendFrame(dst []byte, d dialect.Dialect, message []byte) []byte {
	first := byte(finalBinary)
	if d == dialect.JSON {
		first = finalText
	}
	switch n := len(message); {
	case n < 126:
		dst = append(dst, first, byte(n))
	case n <= 0xffff:
		dst = binary.BigEndian.AppendUint16(append(dst, first, 126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, first, 127), uint64(n))
	}
	return append(dst, message...)
}
