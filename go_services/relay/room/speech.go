package room

import (
	"time"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

// Chat says something to all members, the speaker included. A client message id that the member used before is
// answered and not said again.
func (r *Room) Chat(now time.Time, link Link, rid uint32, text, clientMessageID string) {
	m := r.memberOrFail(link, rid)
	if m == nil {
		return
	}
	if !m.seen.add(clientMessageID) {
		r.sink.Done(link, rid)
		return
	}
	r.publish(now, frames.ChatMessage{Sender: m.user, Text: text, ClientMessageID: clientMessageID}, Link{})
	r.sink.Done(link, rid)
}

// Emote shows an emote to all members.
func (r *Room) Emote(now time.Time, link Link, rid uint32, emoteID, targetUserID, clientMessageID string) {
	m := r.memberOrFail(link, rid)
	if m == nil {
		return
	}
	if targetUserID != "" && r.byUser[targetUserID] == nil {
		r.sink.Failed(link, rid, commonv1.ErrorReason_ERROR_REASON_MEMBER_NOT_FOUND, "the target is not in the room")
		return
	}
	if !m.seen.add(clientMessageID) {
		r.sink.Done(link, rid)
		return
	}
	r.publish(now, frames.EmoteMessage{
		Sender: m.user, EmoteID: emoteID, TargetUserID: targetUserID, ClientMessageID: clientMessageID,
	}, Link{})
	r.sink.Done(link, rid)
}

// Whisper says something to one member; the speaker hears it too. It has the number of the event before it, for
// the others must not see a gap.
func (r *Room) Whisper(now time.Time, link Link, rid uint32, targetUserID, text, clientMessageID string) {
	m := r.memberOrFail(link, rid)
	if m == nil {
		return
	}
	target := r.byUser[targetUserID]
	if target == nil {
		r.sink.Failed(link, rid, commonv1.ErrorReason_ERROR_REASON_MEMBER_NOT_FOUND, "the target is not in the room")
		return
	}
	if m.seen.add(clientMessageID) {
		r.sink.Whisper(r.event(now, frames.WhisperMessage{
			Sender: m.user, TargetUserID: targetUserID, Text: text, ClientMessageID: clientMessageID,
		}), link, target.link)
	}
	r.sink.Done(link, rid)
}

// recentSize is how many client message ids a member's connection is remembered by.
const recentSize = 64

// recent remembers the newest client message ids of a member.
type recent struct {
	ids  []string
	next int
}

// add says whether the id is new. The empty id is always new.
func (s *recent) add(id string) bool {
	if id == "" {
		return true
	}
	for _, old := range s.ids {
		if old == id {
			return false
		}
	}
	if len(s.ids) < recentSize {
		s.ids = append(s.ids, id)
		return true
	}
	s.ids[s.next] = id
	s.next = (s.next + 1) % recentSize
	return true
}
