package roomsim

import (
	"fmt"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/relay/room"
	"google.golang.org/protobuf/proto"
)

// spoiled is a sink with a bug.
type spoiled struct {
	room.Sink
	relay *relay
}

func (s *spoiled) has(b Bug) bool { return s.relay.world.setup.Broken == b }

func (s *spoiled) Told(e *room.Entry, to ...room.Link) {
	switch {
	case s.has(DropResumeReplay):
	case s.has(WhisperToAll) && len(e.To) > 0:
		s.Event(e)
	case s.has(WhisperToOther) && len(e.To) > 0:
		s.Sink.Told(e, s.relay.core.Members()[0].Link)
	default:
		s.Sink.Told(e, to...)
	}
}

func (s *spoiled) Joined(to room.Link, in room.In, snapshot frames.Snapshot) {
	if s.has(GapNotTold) {
		snapshot.Gap = false
	}
	s.Sink.Joined(to, in, snapshot)
}

func (s *spoiled) Removed(to room.Link, in room.In, reason commonv1.ErrorReason) {
	if s.has(KeepReplaced) && reason == commonv1.ErrorReason_ERROR_REASON_MEMBER_REPLACED {
		return
	}
	s.Sink.Removed(to, in, reason)
}

func (s *spoiled) Corrected(to room.Link, state frames.EntityState) {
	if !s.has(SilentPutBack) {
		s.Sink.Corrected(to, state)
	}
}

// spoil is an input as a relay with a bug takes it.
func (r *relay) spoil(s *stream, in *roomv1.Input) *roomv1.Input {
	link, named := room.Link{Stream: s.id, ID: in.GetLink()}, room.In{RID: in.GetRid(), Number: in.GetNumber()}
	switch {
	case r.world.setup.Broken == AckBeforeLog && in.GetChat() != nil:
		(&spoiled{r.live.Sink(), r}).Done(link, named)
	case r.world.setup.Broken == LeaveBeforeLog && in.GetLeave() != nil:
		r.live.Sink().Removed(link, named, commonv1.ErrorReason_ERROR_REASON_UNSPECIFIED)
	case r.world.setup.Broken == KeyByConnection && in.GetChat().GetClientMessageId() != "":
		in = proto.CloneOf(in)
		in.GetChat().ClientMessageId += fmt.Sprint(" of ", r.owner.Epoch, link)
	case r.world.setup.Broken == StaleDetach && in.GetDetach() != nil:
		in = proto.CloneOf(in)
		for _, c := range r.world.clients {
			if c.hasHad(in.GetDetach().GetGatewaySessionId()) {
				in.Link, in.GetDetach().GatewaySessionId = 0, c.device.session
			}
		}
	}
	return in
}

// hasHad says whether a session is one of the client's.
func (c *client) hasHad(session string) bool {
	for n := range c.sessions {
		if session == fmt.Sprintf("gws_%d_%d", c.index, n+1) {
			return true
		}
	}
	return false
}
