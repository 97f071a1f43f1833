package gateway

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	identityv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/identity/v1"
	presencev1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/presence/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	worldv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/world/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// fakeIdentity has keys and tells of revocations.
type fakeIdentity struct {
	identityv1.UnimplementedIdentityServiceServer
	looks atomic.Int32
	ahead atomic.Int64 // of its clock before the gateway's, in ns
	mute  atomic.Bool  // does not tell the time
	down  atomic.Bool

	mu       sync.Mutex
	keys     map[string]ed25519.PrivateKey
	watchers []chan string
}

func (f *fakeIdentity) addKey(id string) {
	_, key, _ := ed25519.GenerateKey(nil)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys[id] = key
}

func (f *fakeIdentity) GetJwks(context.Context, *identityv1.GetJwksRequest) (*identityv1.GetJwksResponse, error) {
	f.looks.Add(1)
	if f.down.Load() {
		return nil, kit.Unavailable("identity is down")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	response := &identityv1.GetJwksResponse{ServerTime: timestamppb.New(time.Now().Add(time.Duration(f.ahead.Load())))}
	if f.mute.Load() {
		response.ServerTime = nil
	}
	for id, key := range f.keys {
		public, _ := key.Public().(ed25519.PublicKey)
		response.Keys = append(response.Keys, &identityv1.Jwk{
			Kty: "OKP", Crv: "Ed25519", Kid: id, Alg: "EdDSA", X: base64.RawURLEncoding.EncodeToString(public),
		})
	}
	return response, nil
}

func (f *fakeIdentity) WatchRevocations(
	_ *identityv1.WatchRevocationsRequest, stream identityv1.IdentityService_WatchRevocationsServer,
) error {
	revoked := make(chan string, 16)
	f.mu.Lock()
	f.watchers = append(f.watchers, revoked)
	f.mu.Unlock()
	for {
		select {
		case <-stream.Context().Done():
			return nil
		case id := <-revoked:
			if err := stream.Send(&identityv1.WatchRevocationsResponse{SessionId: id}); err != nil {
				return err
			}
		}
	}
}

func (f *fakeIdentity) revoke(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.watchers {
		w <- id
	}
}

// token signs a token; change may spoil its claims.
func (f *fakeIdentity) token(t *testing.T, kid, user, session string, change func(jwt.MapClaims)) string {
	t.Helper()
	now := time.Now().Add(time.Duration(f.ahead.Load()))
	claims := jwt.MapClaims{
		"iss": "worldmesh", "aud": "worldmesh", "sub": user, "sid": session, "name": "name-of-" + user, "kind": "guest",
		"scope": "client", "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	}
	if change != nil {
		change(claims)
	}
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims)
	token.Header["kid"] = kid
	f.mu.Lock()
	defer f.mu.Unlock()
	signed, err := token.SignedString(f.keys[kid])
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// fakeWorld lets everybody into every room but `secret`.
type fakeWorld struct {
	worldv1.UnimplementedWorldServiceServer
	mu      sync.Mutex
	headers metadata.MD // of the last call
	slow    chan struct{}
}

func (f *fakeWorld) AuthorizeEntry(
	ctx context.Context, request *worldv1.AuthorizeEntryRequest,
) (*worldv1.AuthorizeEntryResponse, error) {
	if request.GetRoomId() == "secret" {
		return nil, kit.NewError(codes.NotFound, commonv1.ErrorReason_ERROR_REASON_ROOM_NOT_FOUND, "no such room")
	}
	return &worldv1.AuthorizeEntryResponse{
		Role: worldv1.RoomRole_ROOM_ROLE_GUEST, Capacity: 50, DisplayName: "The " + request.GetRoomId(),
		Settings: &worldv1.RoomSettings{Width: 40, Depth: 40, TickHz: 20, MaxSpeed: 8, Spawn: &commonv1.Position{}},
	}, nil
}

func (f *fakeWorld) ListRooms(ctx context.Context, request *worldv1.ListRoomsRequest) (*worldv1.ListRoomsResponse, error) {
	f.mu.Lock()
	f.headers, _ = metadata.FromIncomingContext(ctx)
	slow := f.slow
	f.mu.Unlock()
	if slow != nil {
		<-ctx.Done()
		close(slow)
		return nil, ctx.Err()
	}
	return &worldv1.ListRoomsResponse{
		Rooms: []*worldv1.Room{{RoomId: "plaza", DisplayName: "with " + request.GetNamePrefix()}}, NextPageToken: "more",
	}, nil
}

func (f *fakeWorld) GetRoom(context.Context, *worldv1.GetRoomRequest) (*worldv1.GetRoomResponse, error) {
	return nil, kit.NewError(codes.ResourceExhausted, commonv1.ErrorReason_ERROR_REASON_RATE_LIMITED, "too many", "limit", "3").
		After(1500 * time.Millisecond)
}

// fakeRelay plays rooms as simply as can be: everybody who comes is in, and what is said is said to all. Each test
// may look at its streams and make deliveries of its own.
type fakeRelay struct {
	roomv1.UnimplementedRoomServiceServer
	streams chan *fakeStream
	mute    atomic.Bool // answers nothing
	closed  atomic.Bool // has no rooms
	epoch   atomic.Uint64
	seq     atomic.Uint64 // goes on from stream to stream
	address atomic.Value  // where it says it is; empty if it does not
	stuck   atomic.Bool   // does not say that it lives
}

func (f *fakeRelay) GetRelay(ctx context.Context, _ *roomv1.GetRelayRequest) (*roomv1.GetRelayResponse, error) {
	if f.stuck.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &roomv1.GetRelayResponse{Incarnation: "first", OtherAddress: "10.0.0.8:1"}, nil
}

type fakeStream struct {
	room     string
	host     string // by the header
	server   roomv1.RoomService_AttachServer
	open     *roomv1.AttachRequest_Open
	messages chan *roomv1.AttachRequest_Inputs
	end      context.CancelCauseFunc
	ended    chan struct{}

	relay *fakeRelay
	mu    sync.Mutex
}

func (f *fakeRelay) Attach(server roomv1.RoomService_AttachServer) error {
	first, err := server.Recv()
	if err != nil {
		return err
	}
	md, _ := metadata.FromIncomingContext(server.Context())
	ctx, end := context.WithCancelCause(server.Context())
	s := &fakeStream{
		relay: f, room: first.GetOpen().GetRoomId(), host: strings.Join(md.Get(kit.HeaderHost), ","), server: server, open: first.GetOpen(), end: end,
		messages: make(chan *roomv1.AttachRequest_Inputs, 10_000), ended: make(chan struct{}),
	}
	defer close(s.ended)
	if got := md.Get(kit.HeaderRoomID); len(got) != 1 || got[0] != s.room {
		return kit.NewError(codes.InvalidArgument, commonv1.ErrorReason_ERROR_REASON_INVALID_FIELD, "no x-room-id")
	}
	if f.closed.Load() {
		return kit.Unavailable("no room is here")
	}
	f.streams <- s
	opened := &roomv1.AttachResponse_Opened{Epoch: f.epoch.Load() + 1, Incarnation: "first"}
	opened.RelayAddress, _ = f.address.Load().(string)
	_ = server.Send(&roomv1.AttachResponse{Body: &roomv1.AttachResponse_Opened_{Opened: opened}})
	go func() {
		for {
			request, err := server.Recv()
			if err != nil {
				end(err)
				return
			}
			s.messages <- request.GetInputs()
			if !f.mute.Load() {
				s.play(request.GetInputs().GetInputs())
			}
		}
	}()
	<-ctx.Done()
	return context.Cause(ctx)
}

func (s *fakeStream) deliver(d ...*roomv1.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.server.Send(&roomv1.AttachResponse{Body: &roomv1.AttachResponse_Deliveries_{
		Deliveries: &roomv1.AttachResponse_Deliveries{Deliveries: d},
	}})
}

// move sends the gateway to another relay.
func (s *fakeStream) move(host string, epoch uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.server.Send(&roomv1.AttachResponse{Body: &roomv1.AttachResponse_Moved_{
		Moved: &roomv1.AttachResponse_Moved{RelayAddress: host, Epoch: epoch},
	}})
	s.end(nil)
}

func (s *fakeStream) play(inputs []*roomv1.Input) {
	for _, in := range inputs {
		link, number := []uint32{in.GetLink()}, in.GetNumber()
		switch body := in.GetBody().(type) {
		case *roomv1.Input_Join_:
			s.join(in, body.Join)
		case *roomv1.Input_Leave_:
			d := &roomv1.Delivery{
				Links: link, Answered: number,
				Membership: &roomv1.Membership{Link: in.GetLink(), Outcome: &roomv1.Membership_Removed{}},
			}
			if in.GetRid() != 0 {
				d.Frame = frames.NewEncoder().Ok(in.GetRid())
			}
			s.deliver(d)
		case *roomv1.Input_State_:
			if in.GetRid() != 0 {
				s.deliver(&roomv1.Delivery{Links: link, Answered: number, Frame: frames.NewEncoder().Ok(in.GetRid())})
			}
		case *roomv1.Input_Chat_:
			s.deliver(s.chat(body.Chat.GetText()), &roomv1.Delivery{
				Links: link, Answered: number, Frame: frames.NewEncoder().Ok(in.GetRid()),
			})
		}
	}
}

func (s *fakeStream) join(in *roomv1.Input, join *roomv1.Input_Join) {
	d := &roomv1.Delivery{
		Links: []uint32{in.GetLink()}, Answered: in.GetNumber(), Membership: &roomv1.Membership{Link: in.GetLink()},
	}
	if s.room == "full" {
		reason := commonv1.ErrorReason_ERROR_REASON_ROOM_FULL
		d.Frame = frames.NewEncoder().Error(in.GetRid(), frames.Error{Reason: kit.ReasonName(reason), Code: 8})
		d.Membership.Outcome = &roomv1.Membership_Refused{Refused: reason}
	} else {
		var radius float32
		if s.room == "crowded" {
			radius = 14
		}
		d.Frame = frames.NewEncoder().Snapshot(in.GetRid(), frames.Snapshot{
			ViewRadius: radius, RoomID: s.room, DisplayName: s.open.GetConfig().GetDisplayName(), LogPosition: frames.LogPosition{Epoch: 1}, SelfEntity: in.GetLink(),
			Members: []frames.Member{{User: frames.User{ID: join.GetUser().GetUserId(), Username: join.GetUser().GetUsername()}}},
		})
		d.Membership.Outcome = &roomv1.Membership_JoinedEntity{JoinedEntity: in.GetLink()}
	}
	s.deliver(d)
}

func (s *fakeStream) chat(text string) *roomv1.Delivery {
	at := frames.LogPosition{Epoch: 1, Seq: s.relay.seq.Add(1)}
	return &roomv1.Delivery{
		Channel:  roomv1.Channel_CHANNEL_ORDERED,
		Position: &roomv1.LogPosition{Epoch: at.Epoch, Seq: at.Seq},
		Frame: frames.NewEncoder().Event(frames.Event{
			LogPosition: at, Body: frames.ChatMessage{Sender: frames.User{ID: "usr_x", Username: "x"}, Text: text},
		}),
	}
}

// asked waits for a member who wants to see more.
func (s *fakeStream) asked() *roomv1.Input {
	for {
		for _, in := range (<-s.messages).GetInputs() {
			if in.GetLook() != nil {
				return in
			}
		}
	}
}

func stateOf(tick uint64, entity uint32, x float32) *roomv1.Delivery {
	return &roomv1.Delivery{Channel: roomv1.Channel_CHANNEL_STATE, Frame: frames.NewEncoder().StateBatch(frames.StateBatch{
		Tick: tick, States: []frames.EntityState{{Entity: entity, Position: frames.Vec3{X: x}}},
	})}
}

// fakePresence keeps what it is told.
type fakePresence struct {
	presencev1.UnimplementedPresenceServiceServer
	down atomic.Bool

	mu        sync.Mutex
	devices   map[string]*presencev1.AttachRequest_Change
	snapshots int
	streams   map[uint32]context.CancelFunc
}

func (f *fakePresence) Attach(stream presencev1.PresenceService_AttachServer) error {
	if f.down.Load() {
		return kit.Unavailable("presence is down")
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	requests := make(chan *presencev1.AttachRequest)
	go func() {
		defer cancel()
		for {
			request, err := stream.Recv()
			if err != nil {
				return
			}
			select {
			case requests <- request:
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return kit.Unavailable("the stream was cut")
		case request := <-requests:
			if seq := f.apply(request, cancel); seq > 0 {
				_ = stream.Send(&presencev1.AttachResponse{AckedSeq: seq})
			}
		}
	}
}

func (f *fakePresence) apply(request *presencev1.AttachRequest, cancel context.CancelFunc) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	changes := request.GetChanges()
	switch body := request.GetBody().(type) {
	case *presencev1.AttachRequest_Open_:
		f.streams[body.Open.GetShard()] = cancel
		return 0
	case *presencev1.AttachRequest_Snapshot:
		f.snapshots++
		changes = body.Snapshot
	}
	for _, c := range changes.GetChanges() {
		if c.GetGone() {
			delete(f.devices, c.GetDevice().GetGatewaySessionId())
		} else {
			f.devices[c.GetDevice().GetGatewaySessionId()] = c
		}
	}
	return changes.GetSeq()
}

// where is each user's room, by user.
func (f *fakePresence) where() map[string]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	rooms := map[string]string{}
	for _, c := range f.devices {
		rooms[c.GetUserId()] = c.GetDevice().GetDeviceName() + "@" + c.GetDevice().GetRoomId()
	}
	return rooms
}

// cut ends all streams and forgets everything, as a restart does.
func (f *fakePresence) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.devices = map[string]*presencev1.AttachRequest_Change{}
	for _, cancel := range f.streams {
		cancel()
	}
}
