package relay

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"buf.build/go/protovalidate"
	"github.com/worldmesh/worldmesh/clients/go/statebatch"
	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
)

const (
	crowdSize    = 5000
	crowdStreams = 4
)

// crowdedRoom is a room by four gateways, in which people walk about in a square.
type crowdedRoom struct {
	server  *server
	live    *liveRoom
	streams []*stream
	taken   [][]*roomv1.Delivery
	members []*roomv1.Steps // where they are, by stream
	heading []float64
	random  *rand.Rand
	side    float32
	next    int
}

// newCrowdedRoom lets so many in, and waits until they have seen each other. It is recorded in a folder, if one is given.
func newCrowdedRoom(tb testing.TB, side float32, size int, recordings string) *crowdedRoom {
	tb.Helper()
	validator, err := protovalidate.New()
	if err != nil {
		tb.Fatal(err)
	}
	h := quietHub()
	h.recordings = recordings
	c := &crowdedRoom{
		server: &server{validator: validator, metrics: h.metrics}, random: rand.New(rand.NewPCG(1, 2)), side: side,
		taken: make([][]*roomv1.Delivery, crowdStreams),
	}
	c.live = liveRoomOn(h, "room_crowded", &roomv1.RoomConfig{
		Capacity: int32(size), Width: side, Depth: side, TickHz: 20, MaxSpeed: 1e6, Spawn: &commonv1.Position{X: side / 2, Z: side / 2},
	})
	for i := range crowdStreams {
		st := newStream(uint64(i+1), fmt.Sprintf("gateway-%d", i), math.MaxInt, func(error) {})
		c.live.attach(st, &roomv1.AttachRequest_Open{})
		c.streams, c.members = append(c.streams, st), append(c.members, &roomv1.Steps{})
	}
	for i := range size {
		join := &roomv1.Input{Link: uint32(i + 1), Body: &roomv1.Input_Join_{Join: joinFor(fmt.Sprintf("usr_01KAXW7J9Z%016d", i))}}
		play(tb, c.server, c.live, c.streams[i%crowdStreams], batchOf(join))
		addStep(c.members[i%crowdStreams], join.GetLink(), c.random.Float32()*side, c.random.Float32()*side, nil)
		c.heading = append(c.heading, c.random.Float64()*7)
		if i%1000 == 999 || i == size-1 { // more than the log takes at once
			until(tb, "all are in", func() bool { return !c.live.waits() })
		}
	}
	for i, st := range c.streams {
		play(tb, c.server, c.live, st, &roomv1.AttachRequest_Inputs{Steps: c.members[i]})
	}
	for c.dirty() {
		c.tick()
		c.take()
	}
	return c
}

func (c *crowdedRoom) dirty() bool {
	c.live.mu.Lock()
	defer c.live.mu.Unlock()
	return c.live.core.Dirty()
}

// walk has a share of the members make a step: of each gateway's in turn.
func (c *crowdedRoom) walk(share int, metres float32) {
	for s, members := range c.members {
		size := len(members.GetLinks())
		n := size / share
		begin := c.next % share * n
		for i := begin; i < begin+n; i++ {
			heading := &c.heading[s*size+i]
			*heading += c.random.NormFloat64() / 2
			x, z := members.X[i]+metres*float32(math.Cos(*heading)), members.Z[i]+metres*float32(math.Sin(*heading))
			if x < 0 || z < 0 || x > c.side || z > c.side {
				*heading += math.Pi
				continue
			}
			members.X[i], members.Z[i] = x, z
		}
		_ = c.server.play(c.live, c.streams[s], &roomv1.AttachRequest_Inputs{Steps: someSteps(members, begin, begin+n)})
	}
	c.next++
}

// someSteps is a part of steps without values.
func someSteps(s *roomv1.Steps, from, to int) *roomv1.Steps {
	return &roomv1.Steps{
		Links: s.GetLinks()[from:to], X: s.GetX()[from:to], Y: s.GetY()[from:to], Z: s.GetZ()[from:to],
		Yaws: s.GetYaws()[from:to], Animations: s.GetAnimations()[from:to],
	}
}

func (c *crowdedRoom) tick() { tickAtOnce(c.live) }

// tickAtOnce has a room tick, if something waits for it, whatever the time is.
func tickAtOnce(live *liveRoom) {
	live.mu.Lock()
	if !live.due.IsZero() {
		live.timer.Stop()
		live.due, live.held = live.clock.now(), true
	}
	live.mu.Unlock()
	live.tick()
}

func (c *crowdedRoom) take() {
	for i, st := range c.streams {
		if st.waiting() > 0 {
			c.taken[i], _ = st.take(context.Background(), c.taken[i])
		} else {
			c.taken[i] = c.taken[i][:0]
		}
	}
}

// count is what was taken: states that members get, frames and their bytes, and the bytes to all members and to gateways.
func (c *crowdedRoom) count() (states, deliveries, toMembers, toGateways int) {
	var batch statebatch.Batch
	for _, taken := range c.taken {
		for _, d := range taken {
			if batch.Read(d.GetFrame()) == nil {
				states += len(batch.States) * len(d.GetLinks())
			}
			deliveries++
			toMembers += len(d.GetFrame()) * len(d.GetLinks())
			toGateways += proto.Size(d)
		}
	}
	return states, deliveries, toMembers, toGateways
}

// BenchmarkGridTick is a tick of a room of 5,000 who walk, from decoded inputs to what the streams send. A delivery is an
// entity's state to a member.
func BenchmarkGridTick(b *testing.B) {
	for _, place := range []struct {
		name string
		side float32
	}{{"spread", 400}, {"dense", 120}, {"heap", 10}} {
		for _, rate := range []int{4, 10} {
			b.Run(fmt.Sprintf("%s/%dHz", place.name, rate), func(b *testing.B) { benchmarkGrid(b, place.side, rate) })
		}
	}
}

func benchmarkGrid(b *testing.B, side float32, rate int) {
	c := newCrowdedRoom(b, side, crowdSize, "")
	states, frames, toMembers, toGateways := 0, 0, 0, 0
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	spent := time.Duration(0)
	for b.Loop() {
		start := cpuTime()
		c.walk(20/rate, 1.4/float32(rate))
		c.tick()
		c.take()
		spent += cpuTime() - start
		s, f, m, g := c.count()
		states, frames, toMembers, toGateways = states+s, frames+f, toMembers+m, toGateways+g
	}
	runtime.ReadMemStats(&after)
	ticks := float64(b.N)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(spent.Seconds()*1000/ticks, "cpu-ms/tick")
	b.ReportMetric(float64(states)/spent.Seconds()/1e6, "Mdeliveries/cpu-s")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(states), "allocs/delivery")
	b.ReportMetric(float64(toMembers)/ticks*20/crowdSize/1000, "KB/s/client")
	b.ReportMetric(float64(toGateways)/ticks*20/crowdStreams/1e6, "MB/s/gateway")
	b.ReportMetric(float64(frames)/ticks, "frames/tick")
}

// cpuTime is what the process has had of all cores, whatever else the machine does.
func cpuTime() time.Duration {
	var usage unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
