package relay

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"buf.build/go/protovalidate"
	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"github.com/worldmesh/worldmesh/go_services/relay/room"
	"github.com/worldmesh/worldmesh/go_services/relay/store"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/timestamppb"
)

var (
	errDraining    = kit.NewError(codes.Unavailable, commonv1.ErrorReason_ERROR_REASON_DRAINING, "the relay is shutting down")
	errSlowGateway = kit.NewError(codes.ResourceExhausted, commonv1.ErrorReason_ERROR_REASON_SLOW_CONSUMER,
		"the gateway takes deliveries too slowly")
	errSuperseded = kit.NewError(codes.Unavailable, commonv1.ErrorReason_ERROR_REASON_ROOM_UNAVAILABLE,
		"another stream of the gateway has taken the place of this one")
	errPanicked     = kit.NewError(codes.Internal, commonv1.ErrorReason_ERROR_REASON_INTERNAL, "the room failed")
	errOpenExpected = kit.NewError(codes.InvalidArgument, commonv1.ErrorReason_ERROR_REASON_INVALID_FIELD,
		"the first request must be open, and only the first")
	// These are defects of a gateway, and logged; with its next stream it may have none.
	errSteps   = errors.New("the lists of a gateway's steps do not agree")
	errTooMany = errors.New("a gateway sends more inputs or steps at once than the contract has")
)

// server is worldmesh.room.v1.RoomService.
type server struct {
	roomv1.UnimplementedRoomServiceServer

	me         store.Owner
	queueBytes int
	hub        *hub
	validator  protovalidate.Validator
	metrics    *metrics
	log        *slog.Logger
}

// Attach carries the members of one room on one gateway.
func (s *server) Attach(rpc roomv1.RoomService_AttachServer) error {
	open, err := s.receiveOpen(rpc)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(rpc.Context())
	defer cancel(nil)
	live, st, epoch, err := s.hub.attach(ctx, open, func(id uint64) *stream {
		return newStream(id, open.GetGatewayId(), s.queueBytes, cancel)
	})
	if moved := isMoved(err); moved != nil {
		return rpc.Send(movedTo(&roomv1.AttachResponse_Moved{RelayAddress: moved.owner.Address, Epoch: moved.owner.Epoch}))
	}
	if err != nil {
		return err
	}
	defer live.detach(st)
	opened := &roomv1.AttachResponse_Opened{
		Epoch: epoch, RelayId: s.me.Relay, RelayAddress: s.me.Address, Incarnation: s.me.Incarnation,
	}
	if err := rpc.Send(&roomv1.AttachResponse{Body: &roomv1.AttachResponse_Opened_{Opened: opened}}); err != nil {
		return err
	}
	go s.receive(rpc, live, st)
	sent := make(chan error, 1)
	go func() { sent <- s.send(ctx, rpc, st) }()
	select {
	case err := <-sent:
		return err
	case <-st.over: // the sender may hang at a gateway that reads nothing, until the end of the call frees it
		return context.Cause(ctx)
	}
}

func movedTo(moved *roomv1.AttachResponse_Moved) *roomv1.AttachResponse {
	return &roomv1.AttachResponse{Body: &roomv1.AttachResponse_Moved_{Moved: moved}}
}

func (s *server) receiveOpen(rpc roomv1.RoomService_AttachServer) (*roomv1.AttachRequest_Open, error) {
	first, err := rpc.Recv()
	if err != nil {
		return nil, err
	}
	if err := kit.ValidateMessage(s.validator, first); err != nil {
		return nil, err
	}
	if first.GetOpen() == nil {
		return nil, errOpenExpected
	}
	return first.GetOpen(), checkHeader(rpc.Context(), first.GetOpen().GetRoomId())
}

// send passes on what the room says until the stream ends.
func (s *server) send(ctx context.Context, rpc roomv1.RoomService_AttachServer, st *stream) error {
	deliveries := &roomv1.AttachResponse_Deliveries{}
	message := &roomv1.AttachResponse{Body: &roomv1.AttachResponse_Deliveries_{Deliveries: deliveries}}
	for {
		taken, err := st.take(ctx, deliveries.Deliveries)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if taken == nil {
			return rpc.Send(movedTo(st.moved))
		}
		for rest := taken; len(rest) > 0; {
			n := fits(rest)
			deliveries.Deliveries, rest = rest[:n], rest[n:]
			if err := rpc.Send(message); err != nil {
				return err
			}
		}
		deliveries.Deliveries = taken // to be used again
	}
}

// maxMessage bounds the frames in one message, in bytes: gRPC takes no more than 4 MiB.
const maxMessage = 1 << 20

// fits is how many deliveries go into one message: one at least.
func fits(deliveries []*roomv1.Delivery) int {
	bytes := 0
	for i, d := range deliveries {
		if bytes += sizeOf(d); bytes > maxMessage && i > 0 {
			return i
		}
	}
	return len(deliveries)
}

// receive plays the members' inputs until the stream ends.
func (s *server) receive(rpc roomv1.RoomService_AttachServer, live *liveRoom, st *stream) {
	for {
		request, err := rpc.Recv()
		if errors.Is(err, io.EOF) { // the gateway is done: it still hears what came of what it said
			live.settle(rpc.Context())
		}
		if err != nil {
			st.cancel(err)
			return
		}
		inputs := request.GetInputs()
		if inputs == nil {
			st.cancel(errOpenExpected)
			return
		}
		if err := s.play(live, st, inputs); err != nil {
			st.cancel(err)
			return
		}
	}
}

// checkHeader refuses a call that Envoy has routed by another room than it is about.
func checkHeader(ctx context.Context, roomID string) error {
	md, _ := metadata.FromIncomingContext(ctx)
	if got := md.Get(kit.HeaderRoomID); len(got) != 1 || got[0] != roomID {
		return kit.NewError(codes.InvalidArgument, commonv1.ErrorReason_ERROR_REASON_INVALID_FIELD,
			"the header x-room-id must be the request's room_id")
	}
	return nil
}

// GetLiveRoom tells an operator who is in a room. A relay that does not own it asks the one that does.
func (s *server) GetLiveRoom(ctx context.Context, request *roomv1.GetLiveRoomRequest) (*roomv1.GetLiveRoomResponse, error) {
	if err := checkHeader(ctx, request.GetRoomId()); err != nil {
		return nil, err
	}
	response := &roomv1.GetLiveRoomResponse{RelayId: s.me.Relay}
	live := s.hub.find(request.GetRoomId())
	if live == nil {
		if md, _ := metadata.FromIncomingContext(ctx); len(md.Get(kit.HeaderHost)) > 0 {
			return response, nil // another relay, or somebody who knows, asks what is here
		}
		return s.hub.tenure.askOwner(ctx, request, response)
	}
	live.mu.Lock()
	defer live.mu.Unlock()
	response.Epoch, response.Seq, response.Tick = live.core.Epoch(), live.core.Position().Seq, live.core.Ticks()
	for _, m := range live.core.Members() {
		member := &roomv1.LiveMember{
			User:     &commonv1.PublicUser{UserId: m.User.ID, Username: m.User.Username, Bot: m.User.Bot},
			Entity:   m.State.Entity,
			Position: &commonv1.Position{X: m.State.Position.X, Y: m.State.Position.Y, Z: m.State.Position.Z},
			JoinTime: timestamppb.New(m.Since),
		}
		if st := live.streams[m.Link.Stream]; st != nil {
			member.GatewayId = st.gateway
		}
		response.Members = append(response.Members, member)
	}
	return response, nil
}

// GetRelay tells which start of which relay this is, and how much it holds.
func (s *server) GetRelay(context.Context, *roomv1.GetRelayRequest) (*roomv1.GetRelayResponse, error) {
	return s.hub.describe()
}

func roomConfig(c *roomv1.RoomConfig, hold time.Duration) room.Config {
	return room.Config{
		Capacity: int(c.GetCapacity()), Width: c.GetWidth(), Depth: c.GetDepth(), Hold: hold,
		TickHz: int(c.GetTickHz()), MaxSpeed: c.GetMaxSpeed(), DisplayName: c.GetDisplayName(), Grid: room.DefaultGrid(),
		Spawn: frames.Vec3{X: c.GetSpawn().GetX(), Y: c.GetSpawn().GetY(), Z: c.GetSpawn().GetZ()},
	}
}

func positionOf(p *roomv1.LogPosition) *frames.LogPosition {
	if p == nil {
		return nil
	}
	return &frames.LogPosition{Epoch: p.GetEpoch(), Seq: p.GetSeq(), Sub: p.GetSub()}
}

func positionMessage(p frames.LogPosition) *roomv1.LogPosition {
	return &roomv1.LogPosition{Epoch: p.Epoch, Seq: p.Seq, Sub: p.Sub}
}

func joinOf(j *roomv1.Input_Join) room.Join {
	u := j.GetUser()
	return room.Join{
		User:    frames.User{ID: u.GetUserId(), Username: u.GetUsername(), Bot: u.GetBot()},
		Session: j.GetGatewaySessionId(), Role: j.GetRole(), Resume: positionOf(j.GetResume()),
	}
}

func rejoinsOf(messages []*roomv1.Rejoin) []room.Rejoin {
	rejoins := make([]room.Rejoin, len(messages))
	for i, m := range messages {
		rejoins[i] = room.Rejoin{Link: m.GetLink(), Join: joinOf(m.GetJoin())}
		if s := m.GetState(); s != nil {
			p := s.GetPosition()
			rejoins[i].State = &frames.EntityState{
				Position: frames.Vec3{X: p.GetX(), Y: p.GetY(), Z: p.GetZ()},
				Yaw:      uint16(s.GetYaw()), Animation: uint16(s.GetAnimation()),
			}
			rejoins[i].Values = s.GetValues()
		}
	}
	return rejoins
}
