package relay

import (
	"bytes"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"github.com/worldmesh/worldmesh/go_services/relay/room"
	"google.golang.org/grpc/codes"
)

// sink encodes what comes out of a room, once, and queues it for the streams of those who receive it. The room's lock
// is held while it runs.
type sink struct {
	room   *liveRoom
	encode *frames.Encoder
}

var _ room.Sink = (*sink)(nil)

func (s *sink) Joined(to room.Link, rid uint32, snapshot frames.Snapshot) {
	s.to(to, &roomv1.Delivery{
		Frame: bytes.Clone(s.encode.Snapshot(rid, snapshot)),
		Membership: &roomv1.Membership{
			Link: to.ID, Outcome: &roomv1.Membership_JoinedEntity{JoinedEntity: snapshot.SelfEntity},
		},
	})
}

func (s *sink) Refused(to room.Link, rid uint32, reason commonv1.ErrorReason, message string) {
	s.to(to, &roomv1.Delivery{
		Frame:      s.errorFrame(rid, reason, message),
		Membership: &roomv1.Membership{Link: to.ID, Outcome: &roomv1.Membership_Refused{Refused: reason}},
	})
}

func (s *sink) Removed(to room.Link, rid uint32, reason commonv1.ErrorReason) {
	d := &roomv1.Delivery{
		Membership: &roomv1.Membership{Link: to.ID, Outcome: &roomv1.Membership_Removed{Removed: reason}},
	}
	switch {
	case reason != commonv1.ErrorReason_ERROR_REASON_UNSPECIFIED:
		d.Frame = bytes.Clone(s.encode.RoomLeft(s.room.id, kit.ReasonName(reason)))
	case rid != 0:
		d.Frame = bytes.Clone(s.encode.Ok(rid))
	}
	s.to(to, d)
}

func (s *sink) Event(e frames.Event, except room.Link) {
	shared := &roomv1.Delivery{Frame: bytes.Clone(s.encode.Event(e)), Channel: roomv1.Channel_CHANNEL_ORDERED}
	for id, st := range s.room.streams {
		d := shared
		if id == except.Stream && except.ID != 0 {
			d = &roomv1.Delivery{Frame: shared.Frame, Channel: shared.Channel, ExceptLinks: []uint32{except.ID}}
		}
		st.push(d)
	}
	s.count(roomv1.Channel_CHANNEL_ORDERED, len(s.room.streams))
}

func (s *sink) Whisper(e frames.Event, from, to room.Link) {
	frame := bytes.Clone(s.encode.Event(e))
	s.to(from, &roomv1.Delivery{Frame: frame, Channel: roomv1.Channel_CHANNEL_ORDERED})
	if to != from {
		s.to(to, &roomv1.Delivery{Frame: frame, Channel: roomv1.Channel_CHANNEL_ORDERED})
	}
}

func (s *sink) Done(to room.Link, rid uint32) {
	if rid != 0 {
		s.to(to, &roomv1.Delivery{Frame: bytes.Clone(s.encode.Ok(rid))})
	}
}

func (s *sink) Failed(to room.Link, rid uint32, reason commonv1.ErrorReason, message string) {
	s.to(to, &roomv1.Delivery{Frame: s.errorFrame(rid, reason, message)})
}

func (s *sink) Corrected(to room.Link, state frames.EntityState) {
	s.to(to, &roomv1.Delivery{Frame: bytes.Clone(s.encode.Correction(state)), Channel: roomv1.Channel_CHANNEL_STATE})
}

func (s *sink) State(tick uint64, states []frames.EntityState, values []frames.EntityValues) {
	d := stateDelivery(s.encode.StateBatch(tick, states, values))
	var whole *roomv1.Delivery // made at most once, and only if some gateway is behind
	full := func() *roomv1.Delivery {
		if whole == nil {
			states, values := s.room.core.States()
			whole = stateDelivery(s.encode.StateBatch(tick, states, values))
		}
		return whole
	}
	for _, st := range s.room.streams {
		if st.pushState(d, full) {
			s.room.metrics.drops.Inc()
		}
	}
	s.count(roomv1.Channel_CHANNEL_STATE, len(s.room.streams))
}

func stateDelivery(frame []byte) *roomv1.Delivery {
	return &roomv1.Delivery{Frame: bytes.Clone(frame), Channel: roomv1.Channel_CHANNEL_STATE}
}

// to queues a delivery for one member.
func (s *sink) to(link room.Link, d *roomv1.Delivery) {
	st := s.room.streams[link.Stream]
	if st == nil {
		return
	}
	d.Links = []uint32{link.ID}
	st.push(d)
	s.count(d.Channel, 1)
}

func (s *sink) count(channel roomv1.Channel, n int) {
	s.room.metrics.deliveries.WithLabelValues(channelName(channel)).Add(float64(n))
}

func (s *sink) errorFrame(rid uint32, reason commonv1.ErrorReason, message string) []byte {
	return bytes.Clone(s.encode.Error(rid, frames.Error{
		Reason: kit.ReasonName(reason), Message: message, Code: int32(codeOf(reason)),
	}))
}

func codeOf(reason commonv1.ErrorReason) codes.Code {
	switch reason {
	case commonv1.ErrorReason_ERROR_REASON_ROOM_FULL:
		return codes.ResourceExhausted
	case commonv1.ErrorReason_ERROR_REASON_MEMBER_NOT_FOUND:
		return codes.NotFound
	case commonv1.ErrorReason_ERROR_REASON_INVALID_FIELD:
		return codes.InvalidArgument
	default:
		return codes.FailedPrecondition
	}
}

func channelName(c roomv1.Channel) string {
	switch c {
	case roomv1.Channel_CHANNEL_STATE:
		return "state"
	case roomv1.Channel_CHANNEL_ORDERED:
		return "ordered"
	default:
		return "reply"
	}
}
