package presence

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"buf.build/go/protovalidate"
	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	presencev1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/presence/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"github.com/worldmesh/worldmesh/go_services/internal/shardkey"
	"github.com/worldmesh/worldmesh/go_services/presence/shard"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"
)

var (
	errDraining     = kit.NewError(codes.Unavailable, commonv1.ErrorReason_ERROR_REASON_DRAINING, "presence is shutting down")
	errOpenExpected = kit.NewError(codes.InvalidArgument, commonv1.ErrorReason_ERROR_REASON_INVALID_FIELD,
		"the first request must be open, then comes the snapshot, then changes")
	errWrongShard = kit.NewError(codes.InvalidArgument, commonv1.ErrorReason_ERROR_REASON_INVALID_FIELD,
		"a user is not of this shard")
	errTooManyGateways = kit.NewError(codes.ResourceExhausted, commonv1.ErrorReason_ERROR_REASON_RATE_LIMITED,
		"the shard has as many gateways as it can have").After(watchRetry)
	errTooManyChanges = kit.NewError(codes.InvalidArgument, commonv1.ErrorReason_ERROR_REASON_INVALID_FIELD,
		"a message has more than 4096 changes")
	errReplaced = kit.Unavailable("another stream of the gateway has taken the place of this one")
	errMoved    = kit.Unavailable("another instance holds the shard now")
)

// server is worldmesh.presence.v1.PresenceService. It can hold every shard; which of them it does hold, Envoy's hash
// decides.
type server struct {
	presencev1.UnimplementedPresenceServiceServer

	shards    [shardkey.Count]*liveShard
	peers     presencev1.PresenceServiceClient
	watches   *watches
	validator protovalidate.Validator
	streams   atomic.Uint64
	refused   atomic.Uint64 // changes that gateways should not have sent
	log       *slog.Logger
	// incarnation is chosen anew at each start.
	incarnation string
	draining    context.Context //nolint:containedctx // ends all streams at once
}

// Attach is a gateway's stream to one shard.
func (s *server) Attach(rpc presencev1.PresenceService_AttachServer) error {
	first, err := rpc.Recv()
	if err != nil {
		return err
	}
	open := first.GetOpen()
	if open == nil {
		return errOpenExpected
	}
	if err := kit.ValidateMessage(s.validator, first); err != nil {
		return err
	}
	held, stream, name := s.shards[open.GetShard()].hold(), s.streams.Add(1), open.GetGatewayId()
	attached := false
	held.do(func(now time.Time, core *shard.Shard) {
		attached = core.Attach(now, name, open.GetIncarnation(), stream)
	})
	if !attached {
		return errTooManyGateways
	}
	defer held.do(func(now time.Time, core *shard.Shard) { core.Detach(now, name, stream) })

	failed := make(chan error, 1)
	go func() { failed <- s.receive(rpc, held, name, stream) }()
	select {
	case err := <-failed:
		return err
	case <-held.over:
		return errMoved
	case <-s.draining.Done():
		return errDraining
	}
}

// receive takes a snapshot, then changes.
func (s *server) receive(rpc presencev1.PresenceService_AttachServer, held *holding, name string, stream uint64) error {
	for told := false; ; {
		request, err := rpc.Recv()
		if err != nil {
			return nil //nolint:nilerr // the gateway ended the stream, or is gone: nobody hears an error
		}
		said := request.GetChanges()
		if !told {
			said = request.GetSnapshot()
		}
		if said == nil {
			return errOpenExpected
		}
		if len(said.GetChanges()) > maxChanges {
			return errTooManyChanges
		}
		if refused := held.apply(name, stream, said.GetChanges()); refused > 0 {
			s.refused.Add(uint64(refused))
			s.log.Warn("changes that are against the contract", "gateway", name, "shard", held.number, "count", refused)
		}
		if !held.has(name, stream) { // opened by a gateway's earlier stream that came late: without a word it would tell in vain
			return errReplaced
		}
		if !told && !said.GetMore() {
			told = true
			held.do(func(_ time.Time, core *shard.Shard) { core.Complete(name, stream) })
			held.sweep()
		}
		if err := rpc.Send(&presencev1.AttachResponse{AckedSeq: said.GetSeq()}); err != nil {
			return err
		}
	}
}

// GetShardPresence answers for users of one shard.
func (s *server) GetShardPresence(
	_ context.Context, request *presencev1.GetShardPresenceRequest,
) (*presencev1.GetShardPresenceResponse, error) {
	if err := checkShard(request.GetShard(), request.GetUserIds()); err != nil {
		return nil, err
	}
	return &presencev1.GetShardPresenceResponse{Presences: s.shards[request.GetShard()].hold().get(request.GetUserIds())}, nil
}

// WatchShardPresence streams changes of users of one shard.
func (s *server) WatchShardPresence(
	request *presencev1.WatchShardPresenceRequest, rpc presencev1.PresenceService_WatchShardPresenceServer,
) error {
	if err := checkShard(request.GetShard(), request.GetUserIds()); err != nil {
		return err
	}
	held := s.shards[request.GetShard()].hold()
	return s.tell(rpc.Context(), held, request.GetUserIds(), func(news []*presencev1.UserPresence) error {
		return rpc.Send(&presencev1.WatchShardPresenceResponse{Presences: news})
	})
}

// tell tells the newest of users until ctx or the holding of their shard ends. What changes while it is being told merges.
func (s *server) tell(
	ctx context.Context, held *holding, userIDs []string, to func([]*presencev1.UserPresence) error,
) error {
	w := held.watch(userIDs)
	defer held.unwatch(w)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.draining.Done():
			return errDraining
		case <-held.over:
			return errMoved
		case <-w.wake:
		}
		if news := messages(held.take(w)); len(news) > 0 { // of some nothing may be known yet
			if err := to(news); err != nil {
				return err
			}
		}
	}
}

func checkShard(number uint32, userIDs []string) error {
	for _, id := range userIDs {
		if shardkey.Of(id) != number {
			return errWrongShard
		}
	}
	return nil
}

func messages(presences []shard.Presence) []*presencev1.UserPresence {
	all := make([]*presencev1.UserPresence, len(presences))
	for i, p := range presences {
		all[i] = message(p)
	}
	return all
}

func message(p shard.Presence) *presencev1.UserPresence {
	m := &presencev1.UserPresence{UserId: p.UserID, Online: p.Online(), Unknown: p.Unknown}
	if !p.Since.IsZero() {
		m.ChangeTime = timestamppb.New(p.Since)
	}
	for _, d := range p.Devices {
		m.Devices = append(m.Devices, &presencev1.Device{GatewaySessionId: d.SessionID, DeviceName: d.Name, RoomId: d.RoomID})
	}
	return m
}
