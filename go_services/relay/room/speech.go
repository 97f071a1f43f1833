package room

import (
	"time"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

// Chat says something to all members, the speaker included. A client message id that the user used before, or an input
// that came before by another stream, is answered and not said again.
func (r *Room) Chat(now time.Time, link Link, in In, text, clientMessageID string) {
	r.speak(now, link, in, clientMessageID, "", func(sender frames.User) frames.EventBody {
		return frames.ChatMessage{Sender: sender, Text: text, ClientMessageID: clientMessageID}
	}, nil)
}

// Emote shows an emote to all members.
func (r *Room) Emote(now time.Time, link Link, in In, emoteID, targetUserID, clientMessageID string) {
	r.speak(now, link, in, clientMessageID, targetUserID, func(sender frames.User) frames.EventBody {
		return frames.EmoteMessage{
			Sender: sender, EmoteID: emoteID, TargetUserID: targetUserID, ClientMessageID: clientMessageID,
		}
	}, nil)
}

// Whisper says something to one member; the speaker hears it too. It has the number of the event before it, for
// the others must not see a gap.
func (r *Room) Whisper(now time.Time, link Link, in In, targetUserID, text, clientMessageID string) {
	r.speak(now, link, in, clientMessageID, targetUserID, func(sender frames.User) frames.EventBody {
		return frames.WhisperMessage{
			Sender: sender, TargetUserID: targetUserID, Text: text, ClientMessageID: clientMessageID,
		}
	}, []string{targetUserID})
}

// speak logs what a member says, once, to all or to the users in `to` and the speaker; `target` must be in, if it is
// not empty.
func (r *Room) speak(
	now time.Time, link Link, in In, clientMessageID, target string, body func(frames.User) frames.EventBody, to []string,
) {
	m := r.memberOrFail(link, in)
	if m == nil {
		return
	}
	key := messageKey(m.Session, in, clientMessageID)
	if m.seen.has(key) {
		r.done(link, in)
		return
	}
	if target != "" && r.byUser[target] == nil {
		r.sink.Failed(link, in, commonv1.ErrorReason_ERROR_REASON_MEMBER_NOT_FOUND, "the target is not in the room")
		return
	}
	if !r.takesOrdered() {
		r.sink.Failed(link, in, commonv1.ErrorReason_ERROR_REASON_LOG_UNAVAILABLE, "the room's log can not be written to now")
		return
	}
	m.seen.add(key)
	if to != nil && target != m.User.ID {
		to = append(to, m.User.ID)
	}
	r.publish(now, Entry{Author: m.User.ID, Key: key, To: to}, body(m.User), nil)
	r.done(link, in)
}

// messageKey tells what a user says apart: by the client's id, which outlives sessions, or as an input.
func messageKey(session string, in In, clientMessageID string) string {
	if clientMessageID != "" {
		return "m:" + clientMessageID
	}
	return inputKey(session, in)
}

// recentSize is how many of a member's messages are remembered by their keys.
// More than a client may send before it hears of the first: the gateway lets through 120 at once, and 60 a second.
const recentSize = 256

// recent remembers the newest keys of a member.
type recent struct {
	keys []string
	next int
}

// has says whether the key is remembered. The empty key never is.
func (s *recent) has(key string) bool {
	if key == "" {
		return false
	}
	for _, old := range s.keys {
		if old == key {
			return true
		}
	}
	return false
}

func (s *recent) add(key string) {
	if key == "" || s.has(key) {
		return
	}
	if len(s.keys) < recentSize {
		s.keys = append(s.keys, key)
		return
	}
	s.keys[s.next] = key
	s.next = (s.next + 1) % recentSize
}
