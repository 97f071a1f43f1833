package session

import (
	"fmt"
	"time"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"google.golang.org/genproto/googleapis/rpc/code"
)

// joinRetry is what a client is told to wait whose room no relay has: one was looked for for a while.
const joinRetry = time.Second

func (s *Session) join(now time.Time, rid uint32, join dialect.Join) []Action {
	if s.phase != outside {
		return fail(rid, code.Code_FAILED_PRECONDITION, commonv1.ErrorReason_ERROR_REASON_ALREADY_IN_ROOM,
			"leave the room first")
	}
	s.phase, s.room, s.joinRID, s.joining, s.resumes = entering, join.RoomID, rid, now, join.Resume != nil
	return []Action{Enter{RID: rid, RoomID: join.RoomID, Resume: join.Resume}}
}

// EntryRefused takes the answer that the user may not enter, or can not now.
func (s *Session) EntryRefused(e frames.Error) []Action {
	if s.phase != entering {
		return nil
	}
	s.phase = outside
	return []Action{Reply{RID: s.joinRID, Error: e}}
}

// Joined takes the relay's word that the member is in, or still is. Its snapshot goes to the client by itself.
func (s *Session) Joined() []Action {
	if s.phase != entering {
		return nil
	}
	s.phase = inside
	return []Action{Moved{}}
}

// Refused takes the relay's word that the member is not in. Its error frame goes to the client by itself.
func (s *Session) Refused() []Action {
	if s.phase == entering {
		s.phase = outside
	}
	return nil
}

// Removed takes the relay's word that the member is no longer in. The frame that says so goes to the client by itself.
func (s *Session) Removed() []Action {
	if s.phase == outside {
		return nil
	}
	s.phase = outside
	return []Action{Moved{}}
}

// joinTimedOut gives up on a relay that does not answer.
func (s *Session) joinTimedOut() []Action {
	s.phase = outside
	return []Action{Exit{RoomID: s.room, Hold: s.resumes}, s.noRoom()}
}

// noRoom refuses a join to whose room no relay answers.
func (s *Session) noRoom() Action {
	return Reply{RID: s.joinRID, Error: frames.Error{
		Reason: reasonName(commonv1.ErrorReason_ERROR_REASON_ROOM_UNAVAILABLE), Message: "the room does not answer",
		Code: int32(code.Code_UNAVAILABLE), RetryAfterMS: uint32(joinRetry.Milliseconds()),
	}}
}

// RoomLost takes the news that no relay has the room: the client may join again at once.
func (s *Session) RoomLost() []Action {
	phase := s.phase
	s.phase = outside
	switch phase {
	case entering:
		return []Action{s.noRoom()}
	case inside:
		reason := reasonName(commonv1.ErrorReason_ERROR_REASON_ROOM_UNAVAILABLE)
		return []Action{Left{RoomID: s.room, Reason: reason}, Moved{}}
	default:
		return nil
	}
}

// forward passes a frame on to the room. While the member is entering, frames follow the join by the same way, so
// that a client need not wait for the snapshot.
func (s *Session) forward(f dialect.ClientFrame) []Action {
	if s.phase == outside {
		if _, ok := f.Body.(dialect.Move); ok && f.RID == 0 {
			return nil // steps that were on their way when the member was taken out
		}
		return fail(f.RID, code.Code_FAILED_PRECONDITION, commonv1.ErrorReason_ERROR_REASON_NOT_IN_ROOM, "join a room first")
	}
	if move, ok := f.Body.(dialect.Move); ok && len(move.Values) > MaxValues {
		return fail(f.RID, code.Code_INVALID_ARGUMENT, commonv1.ErrorReason_ERROR_REASON_INVALID_FIELD,
			fmt.Sprintf("values hold %d bytes at most", MaxValues))
	}
	return forwarded
}

// forwarded is the same for all frames, of which there are thousands in a second. Nobody writes to it.
var forwarded = []Action{Forward{}}

func (s *Session) call(rid uint32, call dialect.Call) []Action {
	if s.calls >= s.limits.Calls {
		return fail(rid, code.Code_RESOURCE_EXHAUSTED, commonv1.ErrorReason_ERROR_REASON_TOO_MANY_CALLS,
			"too many calls are under way")
	}
	s.calls++
	return []Action{Call{RID: rid, Body: call}}
}

// CallDone takes note that a call was answered.
func (s *Session) CallDone() { s.calls-- }
