package room

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/worldmesh/worldmesh/clients/go/statebatch"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

// counter counts what a grid shows: deliveries (an entity's state to a member), frames, and bytes to all members.
type counter struct {
	quiet
	deliveries, frames, bytes int
	frame                     []byte
}

func (c *counter) View(_ uint64, links []uint32, b frames.StateBatch) {
	c.deliveries += len(b.States) * len(links)
	c.frames++
	c.frame = statebatch.Append(c.frame[:0], &b)
	c.bytes += len(c.frame) * len(links)
}

const (
	crowdSize    = 5000
	crowdStreams = 4
)

// walker is somebody who walks about, at the pace of a person.
type walker struct {
	link    Link
	at      frames.Vec3
	heading float64
}

func (w *walker) step(random *rand.Rand, side, metres float32) Move {
	w.heading += random.NormFloat64() / 2
	x, z := w.at.X+metres*float32(math.Cos(w.heading)), w.at.Z+metres*float32(math.Sin(w.heading))
	if x < 0 || x > side || z < 0 || z > side {
		w.heading += math.Pi
		return Move{Position: w.at}
	}
	w.at.X, w.at.Z = x, z
	return Move{Position: w.at}
}

// fullRoom is a room of 5,000 by four gateways, spread over a square.
func fullRoom(sink Sink, side float32, random *rand.Rand) (*Room, []*walker, time.Time) {
	cfg := Config{
		Capacity: crowdSize, Width: side, Depth: side, TickHz: 20, MaxSpeed: 1e6, Spawn: frames.Vec3{X: side / 2, Z: side / 2},
		Grid: DefaultGrid(),
	}
	now := time.UnixMilli(0)
	r := New("room_bench", cfg, sink, now, Past{Epoch: 1, Complete: true})
	walkers := make([]*walker, crowdSize)
	for i := range walkers {
		id := fmt.Sprint(i)
		w := &walker{
			link: Link{Stream: 1 + uint64(i%crowdStreams), ID: uint32(i + 1)}, heading: random.Float64() * 7,
			at: frames.Vec3{X: random.Float32() * side, Z: random.Float32() * side},
		}
		r.Join(now, w.link, In{}, Join{User: frames.User{ID: id}, Session: id})
		r.Logged(len(r.TakeUnlogged()))
		r.Move(now, w.link, In{}, Move{Position: w.at})
		walkers[i] = w
	}
	for r.Dirty() {
		r.Tick()
	}
	return r, walkers, now
}

// BenchmarkGrid is a tick of a room of 5,000 who walk: the moves and what they cause.
func BenchmarkGrid(b *testing.B) {
	for _, place := range []struct {
		name string
		side float32
	}{{"spread", 400}, {"dense", 120}, {"heap", 10}} {
		for _, rate := range []int{4, 10} {
			b.Run(fmt.Sprintf("%s/%dHz", place.name, rate), func(b *testing.B) {
				random := rand.New(rand.NewPCG(1, 1))
				sink := &counter{}
				r, walkers, now := fullRoom(sink, place.side, random)
				*sink = counter{}
				every := 20 / rate
				next := 0
				b.ReportAllocs()
				for b.Loop() {
					now = now.Add(50 * time.Millisecond)
					for range crowdSize / every {
						w := walkers[next%crowdSize]
						next++
						r.Move(now, w.link, In{}, w.step(random, place.side, 1.4/float32(rate)))
					}
					r.Tick()
				}
				ticks := float64(b.N)
				b.ReportMetric(b.Elapsed().Seconds()*1000/ticks, "ms/tick")
				b.ReportMetric(float64(sink.deliveries)/b.Elapsed().Seconds(), "deliveries/s")
				b.ReportMetric(float64(sink.frames)/ticks, "frames/tick")
				b.ReportMetric(float64(sink.bytes)/ticks*20/crowdSize, "bytes/s/client")
			})
		}
	}
}
