package presence

import (
	"unicode/utf8"

	presencev1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/presence/v1"
)

// The bounds of AttachRequest by its contract.
const (
	maxChanges = 4096
	maxText    = 64
)

// inBounds says whether a change is as the contract wants it. The service checks this itself: one session's mistake does
// not end a stream that carries many, and a general validator would take a quarter of all the time.
func inBounds(c *presencev1.AttachRequest_Change) bool {
	d := c.GetDevice()
	return d != nil && is(c.GetUserId()) && is(d.GetGatewaySessionId()) &&
		isShort(d.GetDeviceName()) && isShort(d.GetRoomId())
}

func is(text string) bool { return text != "" && isShort(text) }

func isShort(text string) bool {
	return len(text) <= maxText || utf8.RuneCountInString(text) <= maxText
}
