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

// logRetryMS is when to try again what was refused because the log can't be written to, in milliseconds.
const logRetryMS = 1000

// sink encodes what comes out of a room, once, and queues it for the streams of those who receive it. The room's lock
// is held while it runs.
type sink struct {
	room   *liveRoom
	encode *frames.Encoder
	views  slab
}

var _ room.Sink = (*sink)(nil)

func (s *sink) Joined(to room.Link, in room.In, snapshot frames.Snapshot) {
	s.to(to, in, &roomv1.Delivery{
		Frame: bytes.Clone(s.encode.Snapshot(in.RID, snapshot)), Position: positionMessage(snapshot.LogPosition),
		Membership: &roomv1.Membership{
			Link: to.ID, Outcome: &roomv1.Membership_JoinedEntity{JoinedEntity: snapshot.SelfEntity},
		},
	})
}

func (s *sink) Refused(to room.Link, in room.In, reason commonv1.ErrorReason, message string) {
	s.to(to, in, &roomv1.Delivery{
		Frame:      s.errorFrame(in.RID, reason, message),
		Membership: &roomv1.Membership{Link: to.ID, Outcome: &roomv1.Membership_Refused{Refused: reason}},
	})
}

func (s *sink) Removed(to room.Link, in room.In, reason commonv1.ErrorReason) {
	d := &roomv1.Delivery{
		Membership: &roomv1.Membership{Link: to.ID, Outcome: &roomv1.Membership_Removed{Removed: reason}},
	}
	switch {
	case reason != commonv1.ErrorReason_ERROR_REASON_UNSPECIFIED:
		d.Frame = bytes.Clone(s.encode.RoomLeft(s.room.id, kit.ReasonName(reason)))
	case in.RID != 0:
		d.Frame = bytes.Clone(s.encode.Ok(in.RID))
	}
	s.to(to, in, d)
}

func (s *sink) Event(e *room.Entry) {
	d := eventDelivery(e)
	for _, st := range s.room.streams {
		st.push(d)
	}
	s.count(roomv1.Channel_CHANNEL_ORDERED, len(s.room.streams))
}

func (s *sink) Again(e *room.Entry, stream uint64) {
	if st := s.room.streams[stream]; st != nil {
		st.push(eventDelivery(e))
		s.count(roomv1.Channel_CHANNEL_ORDERED, 1)
	}
}

func (s *sink) Told(e *room.Entry, to ...room.Link) {
	st := s.room.streams[to[0].Stream]
	if st == nil {
		return
	}
	d := eventDelivery(e)
	for _, link := range to {
		d.Links = append(d.Links, link.ID)
	}
	st.push(d)
	s.count(d.Channel, 1)
}

func eventDelivery(e *room.Entry) *roomv1.Delivery {
	return &roomv1.Delivery{
		Frame: e.Frame, Channel: roomv1.Channel_CHANNEL_ORDERED, Position: positionMessage(e.LogPosition),
	}
}

func (s *sink) Done(to room.Link, in room.In) {
	if in == (room.In{}) {
		return // nobody waits for it
	}
	d := &roomv1.Delivery{}
	if in.RID != 0 {
		d.Frame = bytes.Clone(s.encode.Ok(in.RID))
	}
	s.to(to, in, d)
}

func (s *sink) Failed(to room.Link, in room.In, reason commonv1.ErrorReason, message string) {
	s.to(to, in, &roomv1.Delivery{Frame: s.errorFrame(in.RID, reason, message)})
}

// refuse answers an input that is not played.
func (s *sink) refuse(to room.Link, in *roomv1.Input, reason commonv1.ErrorReason, message string) {
	named := room.In{RID: in.GetRid(), Number: in.GetNumber()}
	if in.GetJoin() != nil {
		s.Refused(to, named, reason, message)
	} else {
		s.Failed(to, named, reason, message)
	}
}

func (s *sink) Corrected(to room.Link, state frames.EntityState) {
	s.to(to, room.In{}, &roomv1.Delivery{
		Frame: bytes.Clone(s.encode.Correction(state)), Channel: roomv1.Channel_CHANNEL_STATE,
	})
}

func (s *sink) State(batch frames.StateBatch) {
	d := s.stateDelivery(batch)
	var whole *roomv1.Delivery // made at most once, and only if some gateway is behind
	full := func() *roomv1.Delivery {
		if whole == nil {
			whole = s.stateDelivery(s.room.core.States())
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

func (s *sink) stateDelivery(batch frames.StateBatch) *roomv1.Delivery {
	return &roomv1.Delivery{
		Frame: bytes.Clone(s.encode.StateBatch(batch)), Channel: roomv1.Channel_CHANNEL_STATE, LateUs: s.room.lateUS,
	}
}

func (s *sink) View(stream uint64, links []uint32, batch frames.StateBatch) {
	st := s.room.streams[stream]
	if st == nil {
		return
	}
	d := s.views.delivery()
	d.Frame, d.Channel, d.Links = s.views.frame(s.encode.StateBatch(batch)), roomv1.Channel_CHANNEL_STATE, links
	d.LateUs = s.room.lateUS
	st.pushView(d)
	s.count(roomv1.Channel_CHANNEL_STATE, 1)
}

func (s *sink) Behind(stream uint64) bool {
	st := s.room.streams[stream]
	if st == nil || !st.hasViews() {
		return false
	}
	s.room.metrics.held.Inc()
	return true
}

func (s *sink) Roster(stream uint64, links []uint32, roster frames.Roster) {
	if st := s.room.streams[stream]; st != nil {
		st.push(&roomv1.Delivery{Frame: bytes.Clone(s.encode.Roster(roster)), Links: links})
		s.count(roomv1.Channel_CHANNEL_UNSPECIFIED, 1)
	}
}

// slab is where the views of a room come from: there are thousands in a second, that live for a moment.
type slab struct {
	deliveries []roomv1.Delivery
	bytes      []byte
}

const (
	slabDeliveries = 64
	slabBytes      = 64 << 10
)

func (s *slab) delivery() *roomv1.Delivery {
	if len(s.deliveries) == 0 {
		s.deliveries = make([]roomv1.Delivery, slabDeliveries)
	}
	d := &s.deliveries[0]
	s.deliveries = s.deliveries[1:]
	return d
}

// frame is a copy of a frame.
func (s *slab) frame(frame []byte) []byte {
	if cap(s.bytes)-len(s.bytes) < len(frame) {
		s.bytes = make([]byte, 0, max(slabBytes, len(frame)))
	}
	begin := len(s.bytes)
	s.bytes = append(s.bytes, frame...)
	return s.bytes[begin:len(s.bytes):len(s.bytes)]
}

// to queues a delivery for one member, as the answer to an input of its gateway if that has a number.
func (s *sink) to(link room.Link, in room.In, d *roomv1.Delivery) {
	st := s.room.streams[link.Stream]
	if st == nil {
		return
	}
	d.Links, d.Answered = []uint32{link.ID}, in.Number
	st.push(d)
	s.count(d.Channel, 1)
}

func (s *sink) count(channel roomv1.Channel, n int) {
	s.room.metrics.deliveries[channel].Add(float64(n))
}

func (s *sink) errorFrame(rid uint32, reason commonv1.ErrorReason, message string) []byte {
	e := frames.Error{Reason: kit.ReasonName(reason), Message: message, Code: int32(codeOf(reason))}
	if reason == commonv1.ErrorReason_ERROR_REASON_LOG_UNAVAILABLE {
		e.RetryAfterMS = logRetryMS
	}
	return bytes.Clone(s.encode.Error(rid, e))
}

func codeOf(reason commonv1.ErrorReason) codes.Code {
	switch reason {
	case commonv1.ErrorReason_ERROR_REASON_ROOM_FULL:
		return codes.ResourceExhausted
	case commonv1.ErrorReason_ERROR_REASON_LOG_UNAVAILABLE:
		return codes.Unavailable
	case commonv1.ErrorReason_ERROR_REASON_MEMBER_NOT_FOUND:
		return codes.NotFound
	case commonv1.ErrorReason_ERROR_REASON_INVALID_FIELD:
		return codes.InvalidArgument
	case commonv1.ErrorReason_ERROR_REASON_INTERNAL:
		return codes.Internal
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
