package relay

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"google.golang.org/grpc/metadata"

	"github.com/worldmesh/worldmesh/go_services/internal/kit"
)

// BenchmarkFullRoomOverStreams is a room of 5,000 who walk four times a second by four gateways, over mTLS and gRPC, at its
// own pace. The CPU time is of the relay and of what plays the gateways. Run it with -benchtime 1x.
func BenchmarkFullRoomOverStreams(b *testing.B) {
	const side, seconds = 400, 5
	for b.Loop() {
		r := startRelay(b, 64<<20)
		var frames, bytes atomic.Int64
		var reading, walking sync.WaitGroup
		var streams []roomv1.RoomService_AttachClient
		var joined atomic.Int64
		for g := range crowdStreams {
			rpc, err := r.client.Attach(metadata.AppendToOutgoingContext(b.Context(), kit.HeaderRoomID, "room_full"))
			if err != nil {
				b.Fatal(err)
			}
			_ = rpc.Send(&roomv1.AttachRequest{Body: &roomv1.AttachRequest_Open_{Open: &roomv1.AttachRequest_Open{
				RoomId: "room_full", GatewayId: fmt.Sprintf("gateway-%d", g), Config: &roomv1.RoomConfig{
					Capacity: crowdSize, Width: side, Depth: side, TickHz: 20, MaxSpeed: 1e6, Spawn: &commonv1.Position{X: side / 2, Z: side / 2},
				},
			}}})
			streams = append(streams, rpc)
			reading.Go(func() {
				for response, err := rpc.Recv(); err == nil; response, err = rpc.Recv() {
					for _, d := range response.GetDeliveries().GetDeliveries() {
						if d.GetMembership() != nil {
							joined.Add(1)
						}
						frames.Add(1)
						bytes.Add(int64(len(d.GetFrame())))
					}
				}
			})
		}
		random := rand.New(rand.NewPCG(1, 2))
		members := make([]*roomv1.Steps, crowdStreams)
		for g := range members {
			members[g] = &roomv1.Steps{}
		}
		for i := range crowdSize {
			g := i % crowdStreams
			addStep(members[g], uint32(i+1), random.Float32()*side, random.Float32()*side, nil)
			sendInputs(streams[g], batchOf(&roomv1.Input{
				Link: uint32(i + 1), Body: &roomv1.Input_Join_{Join: joinFor(fmt.Sprint("usr_", i))},
			}))
			if i%500 == 499 {
				until(b, "they are in", func() bool { return joined.Load() >= int64(i) })
			}
		}
		stop := make(chan struct{})
		for g := range streams {
			walking.Go(func() { walkBy(streams[g], members[g], stop) })
		}
		time.Sleep(4 * time.Second)
		start, before, framesBefore, bytesBefore := time.Now(), cpuTime(), frames.Load(), bytes.Load()
		time.Sleep(seconds * time.Second)
		passed := time.Since(start).Seconds()
		b.ReportMetric((cpuTime()-before).Seconds()/passed, "cores")
		b.ReportMetric(float64(frames.Load()-framesBefore)/passed, "frames/s")
		b.ReportMetric(float64(bytes.Load()-bytesBefore)/passed/1e6, "MB/s")
		live := r.hub.find("room_full")
		live.mu.Lock()
		b.ReportMetric(float64(live.tempo.halvings), "halvings")
		live.mu.Unlock()
		close(stop)
		walking.Wait()
		for _, rpc := range streams {
			_ = rpc.CloseSend()
		}
		r.stop()
		reading.Wait()
	}
}

func sendInputs(rpc roomv1.RoomService_AttachClient, batch *roomv1.AttachRequest_Inputs) {
	_ = rpc.Send(&roomv1.AttachRequest{Body: &roomv1.AttachRequest_Inputs_{Inputs: batch}})
}

// walkBy has a fifth of a gateway's members make a step in each twentieth of a second.
func walkBy(rpc roomv1.RoomService_AttachClient, members *roomv1.Steps, stop chan struct{}) {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		fifth := len(members.GetLinks()) / 5
		some := someSteps(members, n%5*fifth, (n%5+1)*fifth)
		for i := range some.GetLinks() {
			angle := float64(n/20) + float64(i)
			some.X[i] = min(max(some.X[i]+0.35*float32(math.Cos(angle)), 0), 400)
			some.Z[i] = min(max(some.Z[i]+0.35*float32(math.Sin(angle)), 0), 400)
		}
		sendInputs(rpc, &roomv1.AttachRequest_Inputs{Steps: some})
	}
}
