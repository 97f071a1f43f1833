package relay

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/relay/room"
)

// BenchmarkBesideAFullRoom says how long a step takes from a room's input to its stream, p99, in twenty rooms of ten:
// alone, and beside a room of 5,000 who all walk and want to see all anew, 60 times a second: several times what a core
// can do. Run it with -benchtime 1x.
func BenchmarkBesideAFullRoom(b *testing.B) {
	for b.Loop() {
		calm := p99OfSteps(b)
		crowd := newCrowdedRoom(b, 400, crowdSize, "")
		crowd.live.mu.Lock()
		crowd.live.tempo.nominal = time.Second / 60
		crowd.live.mu.Unlock()
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() { crowd.overload(ctx) })
		for _, st := range crowd.streams {
			running.Go(func() {
				var taken []*roomv1.Delivery
				for ctx.Err() == nil {
					taken, _ = st.take(ctx, taken)
				}
			})
		}
		time.Sleep(4 * time.Second) // until it has found its tempo
		b.ReportMetric(float64(calm.Microseconds())/1000, "ms-p99-alone")
		b.ReportMetric(float64(p99OfSteps(b).Microseconds())/1000, "ms-p99-beside")
		crowd.live.mu.Lock()
		b.ReportMetric(float64(crowd.live.tempo.halvings), "halvings")
		crowd.live.mu.Unlock()
		cancel()
		running.Wait()
	}
}

func (c *crowdedRoom) overload(ctx context.Context) {
	looks := make([][]*roomv1.Input, len(c.members))
	for s, members := range c.members {
		for _, link := range members.GetLinks() {
			looks[s] = append(looks[s], lookFor(link, true, false, 0))
		}
	}
	ticker := time.NewTicker(time.Second / 60)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		c.walk(1, 0.02)
		for s := range looks {
			_ = c.server.play(c.live, c.streams[s], batchOf(looks[s]...))
		}
	}
}

// p99OfSteps has people walk in twenty rooms for a while.
func p99OfSteps(b *testing.B) time.Duration {
	const rooms, members = 20, 10
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var mu sync.Mutex
	var all []time.Duration
	var running sync.WaitGroup
	for i := range rooms {
		h := quietHub()
		s := &server{metrics: h.metrics}
		live := liveRoomOn(h, fmt.Sprintf("room_%d", i), &roomv1.RoomConfig{
			Capacity: members, Width: 40, Depth: 40, TickHz: 20, MaxSpeed: 1e6,
		})
		st := newStream(1, "gateway-0", 8<<20, func(error) {})
		live.attach(st, &roomv1.AttachRequest_Open{})
		for m := range members {
			live.do(func(now time.Time, core *room.Room) {
				id := fmt.Sprint(m)
				core.Join(now, room.Link{Stream: 1, ID: uint32(m + 1)}, room.In{}, room.Join{User: frames.User{ID: id}, Session: id})
			})
		}
		until(b, "all are in", func() bool { return !live.waits() })
		stepped := make(chan time.Time, 1)
		running.Go(func() { // one step a time, and when it is told the next
			for ctx.Err() == nil {
				start := time.Now()
				_ = s.play(live, st, &roomv1.AttachRequest_Inputs{Steps: stepsOf(step(1))})
				stepped <- start
				time.Sleep(60 * time.Millisecond)
			}
			close(stepped)
		})
		running.Go(func() {
			var taken []*roomv1.Delivery
			_, _ = st.take(ctx, nil) // the snapshots
			for start := range stepped {
				var err error
				if taken, err = st.take(ctx, taken); err == nil {
					mu.Lock()
					all = append(all, time.Since(start))
					mu.Unlock()
				}
			}
		})
	}
	running.Wait()
	slices.Sort(all)
	return all[len(all)*99/100]
}
