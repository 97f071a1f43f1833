package dialect

import (
	flatbuffers "github.com/google/flatbuffers/go"
	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

func appendRoomEvent(b []byte, t flatbuffers.Table) []byte {
	var m clientv1.RoomEvent
	m.Init(t.Bytes, t.Pos)
	b = append(appendKey(b, "room_event"), '{')
	b = appendUint(b, "epoch", m.Epoch())
	b = appendUint(b, "seq", m.Seq())
	b = appendSub(b, m.Sub())
	b = appendUint(b, "time_ms", m.TimeMs())
	var body flatbuffers.Table
	if m.Body(&body) {
		b = appendEvent(b, m.BodyType(), body)
	}
	return append(b, '}')
}

func appendEvent(b []byte, kind clientv1.EventBody, t flatbuffers.Table) []byte {
	switch kind {
	case clientv1.EventBodyMemberJoined:
		var m clientv1.MemberJoined
		m.Init(t.Bytes, t.Pos)
		b = append(appendKey(b, "member_joined"), '{')
		b = appendMember(appendKey(b, "member"), m.Member(nil))
		if m.OutOfSight() {
			b = appendBool(b, "out_of_sight", true)
		}
		return append(b, '}')
	case clientv1.EventBodyMemberLeft:
		var m clientv1.MemberLeft
		m.Init(t.Bytes, t.Pos)
		b = append(appendKey(b, "member_left"), '{')
		return append(appendText(appendUint(b, "entity", uint64(m.Entity())), "user_id", m.UserId()), '}')
	case clientv1.EventBodyChatMessage:
		var m clientv1.ChatMessage
		m.Init(t.Bytes, t.Pos)
		b = append(appendKey(b, "chat_message"), '{')
		b = appendText(appendUser(b, "sender", m.Sender(nil)), "text", m.Text())
		return append(appendText(b, "client_message_id", m.ClientMessageId()), '}')
	case clientv1.EventBodyWhisperMessage:
		var m clientv1.WhisperMessage
		m.Init(t.Bytes, t.Pos)
		b = append(appendKey(b, "whisper_message"), '{')
		b = appendText(appendUser(b, "sender", m.Sender(nil)), "target_user_id", m.TargetUserId())
		return append(appendText(appendText(b, "text", m.Text()), "client_message_id", m.ClientMessageId()), '}')
	case clientv1.EventBodyEmoteMessage:
		var m clientv1.EmoteMessage
		m.Init(t.Bytes, t.Pos)
		b = append(appendKey(b, "emote_message"), '{')
		b = appendText(appendUser(b, "sender", m.Sender(nil)), "emote_id", m.EmoteId())
		b = appendText(b, "target_user_id", m.TargetUserId())
		return append(appendText(b, "client_message_id", m.ClientMessageId()), '}')
	default:
		return b // of a newer relay: epoch and seq still count
	}
}

func appendUser(b []byte, key string, u *clientv1.User) []byte {
	b = append(appendKey(b, key), '{')
	b = appendText(appendText(b, "user_id", u.UserId()), "username", u.Username())
	return append(appendBool(b, "bot", u.Bot()), '}')
}

func appendState(b []byte, s frames.EntityState) []byte {
	b = appendUint(append(b, '{'), "entity", uint64(s.Entity))
	b = append(appendKey(b, "position"), '{')
	b = appendFloat(appendFloat(appendFloat(b, "x", s.Position.X), "y", s.Position.Y), "z", s.Position.Z)
	b = append(b, '}')
	return append(appendUint(appendUint(b, "yaw", uint64(s.Yaw)), "animation", uint64(s.Animation)), '}')
}

func appendMember(b []byte, m *clientv1.Member) []byte {
	b = appendUser(append(b, '{'), "user", m.User(nil))
	if s := m.State(nil); s != nil {
		b = appendState(appendKey(b, "state"), frames.StateOf(s))
	}
	if m.ValuesLength() > 0 {
		b = appendBase64(b, "values", m.ValuesBytes())
	}
	return append(b, '}')
}
