package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"time"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/tests/chaos/mesh"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

const (
	// joinsAtOnce is how many members each gateway of a full room lets in before it waits for them.
	joinsAtOnce = 100
	// sendsPerSecond is how often a gateway sends what its members do.
	sendsPerSecond = 50
)

// fullPlan has one room be more than a core can do: its members are at gateways that this program plays, straight at the
// relay, for as many real sockets would take the processor from the relay.
type fullPlan struct {
	Mesh     string  `json:"mesh"`
	Certs    string  `json:"certs"` // the gateways' folder
	Room     string  `json:"room"`
	Side     float32 `json:"side"` // metres
	TickHz   int32   `json:"tick_hz"`
	Gateways int     `json:"gateways"`
	Members  int     `json:"members"` // of each gateway
	// Rate is how many steps each makes a second, and Looks how often each wants to see everybody anew.
	Rate  float64 `json:"rate"`
	Looks float64 `json:"looks"`
	// Busy is for how long, in seconds; then only one of them walks, for Rest.
	Busy float64 `json:"busy"`
	Rest float64 `json:"rest"`
}

// fullResult is what was offered, a second, and what came of it.
type fullResult struct {
	Members int     `json:"members"`
	Steps   float64 `json:"steps_per_s"`
	Looks   float64 `json:"looks_per_s"`
	MB      float64 `json:"mb_per_s"`
}

// fullGateway is one gateway of the full room.
type fullGateway struct {
	plan   fullPlan
	index  int
	stream grpc.ClientStream
	joined chan struct{} // one for each member who is in
	bytes  *atomic.Int64
}

// attachStream is what is said of the method.
var attachStream = grpc.StreamDesc{StreamName: "Attach", ClientStreams: true, ServerStreams: true}

// runFull reads a plan, does it, and prints first that all are in, then that it is busy no more, and what came of it.
func runFull(in io.Reader, out io.Writer) error {
	var p fullPlan
	if err := json.NewDecoder(in).Decode(&p); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var bytes atomic.Int64
	var gateways []*fullGateway
	var reading sync.WaitGroup
	defer reading.Wait()
	defer cancel()
	for i := range p.Gateways {
		conn, err := mesh.Dial(p.Mesh, p.Certs, grpc.WithDefaultCallOptions(grpc.ForceCodec(rawAnswers{}), grpc.MaxCallRecvMsgSize(64<<20)))
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		g := &fullGateway{plan: p, index: i, joined: make(chan struct{}, p.Members), bytes: &bytes}
		to := metadata.AppendToOutgoingContext(ctx, "x-room-id", p.Room)
		if g.stream, err = conn.NewStream(to, &attachStream, roomv1.RoomService_Attach_FullMethodName); err != nil {
			return err
		}
		gateways = append(gateways, g)
		reading.Go(g.read)
		if err := g.enter(ctx); err != nil {
			return err
		}
	}
	answer := json.NewEncoder(out)
	if err := answer.Encode(map[string]int{"in": p.Gateways * p.Members}); err != nil {
		return err
	}
	before := bytes.Load()
	result, err := overload(gateways, p)
	if err != nil {
		return err
	}
	result.MB = float64(bytes.Load()-before) / p.Busy / 1e6
	if err := answer.Encode(result); err != nil {
		return err
	}
	return gateways[0].rest()
}

// overload has all of them walk and look for as long as the plan says.
func overload(gateways []*fullGateway, p fullPlan) (fullResult, error) {
	r := fullResult{Members: p.Gateways * p.Members}
	errs := make(chan error, len(gateways))
	var steps, looks atomic.Int64
	for _, g := range gateways {
		go func() {
			start, walked, looked := time.Now(), 0, 0
			ticker := time.NewTicker(time.Second / sendsPerSecond)
			defer ticker.Stop()
			for passed := 0.0; passed < p.Busy; passed = time.Since(start).Seconds() {
				var inputs []*roomv1.Input
				steps := &roomv1.Steps{}
				for due := int(passed * p.Rate * float64(p.Members)); walked < due; walked++ {
					g.step(steps, walked%p.Members, walked/p.Members)
				}
				for due := int(passed * p.Looks * float64(p.Members)); looked < due; looked++ {
					inputs = append(inputs, look(looked%p.Members))
				}
				if err := g.send(inputs, steps); err != nil {
					errs <- err
					return
				}
				<-ticker.C
			}
			steps.Add(int64(walked))
			looks.Add(int64(looked))
			errs <- nil
		}()
	}
	for range gateways {
		if err := <-errs; err != nil {
			return r, err
		}
	}
	r.Steps, r.Looks = float64(steps.Load())/p.Busy, float64(looks.Load())/p.Busy
	return r, nil
}

// enter opens the stream and lets everybody in.
func (g *fullGateway) enter(ctx context.Context) error {
	p := g.plan
	open := &roomv1.AttachRequest{Body: &roomv1.AttachRequest_Open_{Open: &roomv1.AttachRequest_Open{
		RoomId: p.Room, GatewayId: fmt.Sprintf("full-%d", g.index), Config: &roomv1.RoomConfig{
			Capacity: int32(p.Gateways * p.Members), Width: p.Side, Depth: p.Side, TickHz: p.TickHz, MaxSpeed: 1e6,
			Spawn: &commonv1.Position{X: p.Side / 2, Z: p.Side / 2},
		},
	}}}
	if err := g.stream.SendMsg(open); err != nil {
		return err
	}
	for from := 0; from < p.Members; from += joinsAtOnce {
		var joins []*roomv1.Input
		for m := from; m < min(from+joinsAtOnce, p.Members); m++ {
			name := fmt.Sprintf("%s_%d_%d", p.Room, g.index, m)
			joins = append(joins, &roomv1.Input{Link: uint32(m + 1), Number: uint64(m + 1), Body: &roomv1.Input_Join_{Join: &roomv1.Input_Join{
				User: &commonv1.PublicUser{UserId: "usr_" + name, Username: "full"}, GatewaySessionId: "gws_" + name,
			}}})
		}
		if err := g.send(joins, nil); err != nil {
			return err
		}
		for range joins {
			select {
			case <-g.joined:
			case <-ctx.Done():
				return fmt.Errorf("of gateway %d not all are in: %w", g.index, ctx.Err())
			}
		}
	}
	return nil
}

// send splits inputs as the contract wants it.
func (g *fullGateway) send(inputs []*roomv1.Input, steps *roomv1.Steps) error {
	for len(inputs) > 0 || len(steps.GetLinks()) > 0 {
		n := min(len(inputs), 4096)
		body := &roomv1.AttachRequest_Inputs_{Inputs: &roomv1.AttachRequest_Inputs{Inputs: inputs[:n], Steps: steps}}
		if err := g.stream.SendMsg(&roomv1.AttachRequest{Body: body}); err != nil {
			return err
		}
		inputs, steps = inputs[n:], nil
	}
	return nil
}

// step adds a member's n-th, on a circle around a place of its own.
func (g *fullGateway) step(steps *roomv1.Steps, member, n int) {
	number := float64(g.index*g.plan.Members + member)
	_, x := math.Modf(number * math.Phi)
	_, z := math.Modf(number * math.Sqrt2)
	angle, inside := float64(n)*0.2+number, float64(g.plan.Side)-4
	steps.Links, steps.Y = append(steps.Links, uint32(member+1)), append(steps.Y, 0)
	steps.X = append(steps.X, float32(2+x*inside+math.Sin(angle)))
	steps.Z = append(steps.Z, float32(2+z*inside+math.Cos(angle)))
	steps.Yaws, steps.Animations = append(steps.Yaws, 0), append(steps.Animations, 0)
}

func look(member int) *roomv1.Input {
	return &roomv1.Input{Link: uint32(member + 1), Body: &roomv1.Input_Look_{Look: &roomv1.Input_Look{View: true}}}
}

// rest has one member walk, so that the room has ticks.
func (g *fullGateway) rest() error {
	for n := range int(g.plan.Rest * 10) {
		steps := &roomv1.Steps{}
		g.step(steps, 0, n)
		if err := g.send(nil, steps); err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return nil
}

// read takes what the relay sends until the stream ends; it is looked into only until all are in.
func (g *fullGateway) read() {
	for in := 0; ; {
		var raw []byte
		if g.stream.RecvMsg(&raw) != nil {
			return
		}
		g.bytes.Add(int64(len(raw)))
		var response roomv1.AttachResponse
		if in == g.plan.Members || proto.Unmarshal(raw, &response) != nil {
			continue
		}
		for _, d := range response.GetDeliveries().GetDeliveries() {
			if d.GetMembership().GetJoinedEntity() != 0 && in < g.plan.Members {
				in++
				g.joined <- struct{}{}
			}
		}
	}
}

// rawAnswers sends messages, and takes what comes as it is: to look into it would cost more than the relay's work.
type rawAnswers struct{}

func (rawAnswers) Name() string { return "proto" }

func (rawAnswers) Marshal(v any) ([]byte, error) {
	message, ok := v.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no message", v)
	}
	return proto.Marshal(message)
}

func (rawAnswers) Unmarshal(data []byte, v any) error {
	raw, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("%T does not take what is raw", v)
	}
	*raw = append((*raw)[:0], data...)
	return nil
}
