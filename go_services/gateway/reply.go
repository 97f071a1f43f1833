package gateway

import (
	"sync"

	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
	"github.com/worldmesh/worldmesh/go_services/gateway/socket"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

// writer is what it takes to write a frame of the gateway's own; its buffers are used again.
type writer struct {
	encode *frames.Encoder
	json   []byte
	wire   []byte
}

var writers = sync.Pool{New: func() any { return &writer{encode: frames.NewEncoder()} }}

// reply sends a frame of the gateway's own.
func (c *client) reply(encode func(*frames.Encoder) []byte) { c.write(encode, c.send) }

// lastReply sends the frame before a close; what becomes of it nobody needs to know.
func (c *client) lastReply(encode func(*frames.Encoder) []byte) {
	c.write(encode, func(frame []byte) { _ = c.socket.SendLast(frame) })
}

func (c *client) write(encode func(*frames.Encoder) []byte, send func(frame []byte)) {
	w, _ := writers.Get().(*writer)
	defer writers.Put(w)
	message := encode(w.encode)
	c.gateway.metrics.sent[clientv1.GetRootAsServerFrame(message, 0).BodyType()].Inc()
	if c.socket.Dialect == dialect.JSON {
		var err error
		if w.json, err = dialect.AppendJSON(w.json[:0], message, nil); err != nil {
			c.gateway.log.Error("encode a frame", "error", err.Error())
			return
		}
		message = w.json
	}
	w.wire = socket.AppendFrame(w.wire[:0], c.socket.Dialect, message)
	send(w.wire)
}
