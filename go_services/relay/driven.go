package relay

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/relay/room"
)

// Driven is a live room without what makes it live: the core, the sink that encodes what comes out of it, and the
// streams' queues; no clock, no goroutine, no store. The simulation (internal/roomsim) drives it step by step, as
// liveRoom does, so that what it checks is what the relay runs.
type Driven struct{ live *liveRoom }

// drivenMetrics are nobody's; a relay does not make them.
var drivenMetrics = sync.OnceValue(func() *metrics { return newMetrics(prometheus.NewRegistry()) })

// drivenQueue bounds what waits for a stream, in bytes: far more than a simulation says.
const drivenQueue = 64 << 20

// NewDriven makes a room out of its past. The sink passes through `around`, which may spoil it.
func NewDriven(id string, cfg room.Config, now time.Time, past room.Past, around func(room.Sink) room.Sink) *Driven {
	l := &liveRoom{id: id, metrics: drivenMetrics(), streams: map[uint64]*stream{}}
	l.out = &sink{room: l, encode: frames.NewEncoder()}
	l.core = room.New(id, cfg, around(l.out), now, past)
	return &Driven{l}
}

// Core is the room itself.
func (d *Driven) Core() *room.Room { return d.live.core }

// Sink is where what comes out of the room goes, unspoiled.
func (d *Driven) Sink() room.Sink { return d.live.out }

// Attach adds a gateway's stream, with the members who were in by it.
func (d *Driven) Attach(id uint64, open *roomv1.AttachRequest_Open) {
	d.live.streams[id] = newStream(id, open.GetGatewayId(), drivenQueue, func(error) {})
	d.live.core.Attached(id, positionOf(open.GetSeen()), rejoinsOf(open.GetRejoins()))
}

// Detach removes a stream; its members stay for a while.
func (d *Driven) Detach(now time.Time, id uint64) {
	delete(d.live.streams, id)
	d.live.core.StreamEnded(now, id)
}

// Play gives the room a message of a stream, as liveRoom.play does. `step` hears of each step before it is made, and
// `input` may spoil the inputs.
func (d *Driven) Play(
	now time.Time, id uint64, batch *roomv1.AttachRequest_Inputs, step func(link uint32, to frames.Vec3),
	input func(*roomv1.Input) *roomv1.Input,
) error {
	if err := checkBatch(batch); err != nil {
		return err
	}
	inOrder(batch, func(link uint32, move room.Move) {
		step(link, move.Position)
		d.live.core.Move(now, room.Link{Stream: id, ID: link}, room.In{}, move)
	}, func(uint32) {}, func(_ int, in *roomv1.Input) {
		in = input(in)
		if p := in.GetState().GetPosition(); p != nil {
			step(in.GetLink(), frames.Vec3{X: p.GetX(), Y: p.GetY(), Z: p.GetZ()})
		}
		apply(d.live.core, now, room.Link{Stream: id, ID: in.GetLink()}, in)
	})
	return nil
}

// Take is what waits to be sent to a stream.
func (d *Driven) Take(id uint64) []*roomv1.Delivery {
	s := d.live.streams[id]
	if s == nil {
		return nil
	}
	taken := s.queue
	s.queue, s.bytes, s.state, s.views = nil, 0, -1, 0
	return taken
}
