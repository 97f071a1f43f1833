package session

import (
	"strings"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"google.golang.org/genproto/googleapis/rpc/code"
)

// Action is something that a session wants done: one of the types below.
type Action interface{ isAction() }

type (
	// CheckToken wants TokenChecked called with the result.
	CheckToken struct {
		RID         uint32
		AccessToken string
	}
	// Welcome answers hello.
	Welcome struct {
		RID   uint32
		Frame frames.Welcome
	}
	// Ok answers that a frame was done.
	Ok struct{ RID uint32 }
	// Reply answers that a frame was not done.
	Reply struct {
		RID   uint32
		Error frames.Error
	}
	// Pong answers a ping.
	Pong struct {
		RID                        uint32
		ClientTimeMS, ServerTimeMS uint64
	}
	// Enter wants the user let into a room: world is asked, then the relay; EntryRefused, Joined or Refused follows.
	Enter struct {
		RID    uint32
		RoomID string
		Resume *dialect.Position
	}
	// Forward wants the frame that Frame was called with be sent to the relay of the room.
	Forward struct{}
	// Exit takes the member out of the room without an answer; on hold, if it may come back.
	Exit struct {
		RoomID string
		Hold   bool
	}
	// Call wants an RPC made; CallDone follows.
	Call struct {
		RID  uint32
		Body dialect.Call
	}
	// Left tells the client that the room ended for it.
	Left struct {
		RoomID string
		Reason string
	}
	// Moved tells presence that the session came, moved to another room, or changed.
	Moved struct{}
	// Close ends the socket: the error, with rid 0, then the code.
	Close struct {
		Code   uint16
		Reason string
		Error  frames.Error
	}
)

func (CheckToken) isAction() {}
func (Welcome) isAction()    {}
func (Ok) isAction()         {}
func (Reply) isAction()      {}
func (Pong) isAction()       {}
func (Enter) isAction()      {}
func (Forward) isAction()    {}
func (Exit) isAction()       {}
func (Call) isAction()       {}
func (Left) isAction()       {}
func (Moved) isAction()      {}
func (Close) isAction()      {}

func fail(rid uint32, c code.Code, reason commonv1.ErrorReason, message string) []Action {
	return []Action{Reply{RID: rid, Error: frames.Error{Reason: reasonName(reason), Message: message, Code: int32(c)}}}
}

func reasonName(r commonv1.ErrorReason) string {
	return strings.TrimPrefix(r.String(), "ERROR_REASON_")
}
