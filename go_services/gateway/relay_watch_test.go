package gateway

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"google.golang.org/grpc"
)

// askedRelay answers each question after a time; a negative one is never.
type askedRelay struct {
	roomv1.RoomServiceClient
	takes func(question int) time.Duration
	asked atomic.Int64
}

func (r *askedRelay) GetRelay(
	ctx context.Context, _ *roomv1.GetRelayRequest, _ ...grpc.CallOption,
) (*roomv1.GetRelayResponse, error) {
	takes := r.takes(int(r.asked.Add(1)))
	if takes < 0 {
		takes = time.Hour
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(takes):
		return &roomv1.GetRelayResponse{Incarnation: "1"}, nil
	}
}

func TestWhichRelaysAreGivenUp(t *testing.T) {
	const never = -1
	tests := map[string]struct {
		takes func(question int) time.Duration
		gone  bool
	}{
		"one that answers":                        {takes: func(int) time.Duration { return time.Millisecond }},
		"one that is a second away":               {takes: func(int) time.Duration { return time.Second }},
		"one of which an answer is lost at times": {takes: func(n int) time.Duration { return []time.Duration{0, 0, never}[n%3] }},
		"one that is silent":                      {takes: func(int) time.Duration { return never }, gone: true},
		"one that falls silent":                   {takes: func(n int) time.Duration { return []time.Duration{0, never}[min(n/5, 1)] }, gone: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var running sync.WaitGroup
				ctx, end := context.WithCancel(t.Context())
				w := newRelayWatch(ctx, &running, &askedRelay{takes: test.takes}, slog.New(slog.DiscardHandler))
				stream, cancel := context.WithCancelCause(ctx)
				remove := w.add("room_a", &roomv1.AttachResponse_Opened{RelayAddress: "a:1", Incarnation: "1"}, cancel)
				time.Sleep(10 * time.Second)
				if gone := stream.Err() != nil; gone != test.gone {
					t.Errorf("it was given up: %v", gone)
				}
				remove()
				running.Wait()
				end()
			})
		})
	}
}

func TestHowSoonASilentRelayIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithCancel(t.Context())
		defer end()
		var running sync.WaitGroup
		silent := &askedRelay{takes: func(int) time.Duration { return -1 }}
		w := newRelayWatch(ctx, &running, silent, slog.New(slog.DiscardHandler))
		stream, cancel := context.WithCancelCause(ctx)
		defer w.add("room_a", &roomv1.AttachResponse_Opened{RelayAddress: "a:1", Incarnation: "1"}, cancel)()
		begin := time.Now()
		<-stream.Done()
		if took := time.Since(begin); took < askRelayPatience || took > askRelayPatience+askRelayEvery {
			t.Errorf("it was given up after %v", took)
		}
	})
}

func TestAGatewayThatStoodStillBlamesNoRelay(t *testing.T) {
	start := time.Now()
	after := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	for name, c := range map[string]struct {
		asked    []int // after so many ms
		answered int   // just before the question that is asked then; none is after it
		at       int   // when it counts as dead
	}{
		"none is late":                        {[]int{300, 600, 900, 1200}, 0, 1200},
		"they are late by a little":           {[]int{500, 1000, 1500}, 0, 1500},
		"the gateway stands still for 2 s":    {[]int{300, 2600, 2900, 3200}, 0, 3200},
		"a question is late when it goes on":  {[]int{2300, 2310, 2900, 3200}, 0, 3200},
		"an answer has come when it goes on":  {[]int{300, 10_600, 10_900, 11_200, 11_500, 11_800}, 10_600, 11_800},
		"each is late, for it is starved":     {[]int{1000, 2000, 3000, 4000, 5000}, 0, 4000},
		"it is starved, and still has an ear": {[]int{1000, 2000, 3000, 4000, 5000, 6000}, 2000, 6000},
	} {
		t.Run(name, func(t *testing.T) {
			quiet := silence{answered: start, asked: start}
			for _, ms := range c.asked {
				if ms == c.answered {
					quiet.answered = after(ms)
				}
				if gone := quiet.tooLong(after(ms)); gone != (ms >= c.at) {
					t.Errorf("after %d ms: given up: %v", ms, gone)
				}
			}
		})
	}
}

func TestStreamsToAnEarlierStartOfARelayAreGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running sync.WaitGroup
		ctx, end := context.WithCancel(t.Context())
		w := newRelayWatch(ctx, &running, &askedRelay{takes: func(int) time.Duration { return 0 }}, slog.New(slog.DiscardHandler))
		before, cancelBefore := context.WithCancelCause(ctx)
		now, cancelNow := context.WithCancelCause(ctx)
		w.add("room_a", &roomv1.AttachResponse_Opened{RelayAddress: "a:1", Incarnation: "0"}, cancelBefore)
		remove := w.add("room_b", &roomv1.AttachResponse_Opened{RelayAddress: "a:1", Incarnation: "1"}, cancelNow)
		time.Sleep(2 * askRelayPatience)
		if before.Err() == nil || now.Err() != nil {
			t.Errorf("given up: the earlier %v, the present %v", before.Err(), now.Err())
		}
		remove()
		end()
		running.Wait() // also for who watches what nobody has taken out
	})
}
