package frames

import (
	flatbuffers "github.com/google/flatbuffers/go"
	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
)

// Event encodes one event of the ordered channel.
func (e *Encoder) Event(m Event) []byte {
	e.b.Reset()
	kind, body := e.eventBody(m.Body)
	clientv1.RoomEventStart(e.b)
	clientv1.RoomEventAddEpoch(e.b, m.Epoch)
	clientv1.RoomEventAddSeq(e.b, m.Seq)
	clientv1.RoomEventAddTimeMs(e.b, m.TimeMS)
	clientv1.RoomEventAddBodyType(e.b, kind)
	clientv1.RoomEventAddBody(e.b, body)
	clientv1.RoomEventAddSub(e.b, m.Sub)
	return e.finish(0, clientv1.ServerBodyRoomEvent, clientv1.RoomEventEnd(e.b))
}

func (e *Encoder) eventBody(body EventBody) (clientv1.EventBody, flatbuffers.UOffsetT) {
	switch m := body.(type) {
	case MemberJoined:
		return clientv1.EventBodyMemberJoined, e.memberJoined(m)
	case MemberLeft:
		return clientv1.EventBodyMemberLeft, e.memberLeft(m)
	case ChatMessage:
		return clientv1.EventBodyChatMessage, e.chat(m)
	case WhisperMessage:
		return clientv1.EventBodyWhisperMessage, e.whisper(m)
	case EmoteMessage:
		return clientv1.EventBodyEmoteMessage, e.emote(m)
	default:
		return clientv1.EventBodyNONE, 0
	}
}

func (e *Encoder) memberJoined(m MemberJoined) flatbuffers.UOffsetT {
	member := e.member(m.Member)
	clientv1.MemberJoinedStart(e.b)
	clientv1.MemberJoinedAddMember(e.b, member)
	clientv1.MemberJoinedAddOutOfSight(e.b, m.OutOfSight)
	return clientv1.MemberJoinedEnd(e.b)
}

func (e *Encoder) memberLeft(m MemberLeft) flatbuffers.UOffsetT {
	user := e.b.CreateString(m.UserID)
	clientv1.MemberLeftStart(e.b)
	clientv1.MemberLeftAddEntity(e.b, m.Entity)
	clientv1.MemberLeftAddUserId(e.b, user)
	return clientv1.MemberLeftEnd(e.b)
}

func (e *Encoder) chat(m ChatMessage) flatbuffers.UOffsetT {
	sender, text, id := e.user(m.Sender), e.b.CreateString(m.Text), e.text(m.ClientMessageID)
	clientv1.ChatMessageStart(e.b)
	clientv1.ChatMessageAddSender(e.b, sender)
	clientv1.ChatMessageAddText(e.b, text)
	if id != 0 {
		clientv1.ChatMessageAddClientMessageId(e.b, id)
	}
	return clientv1.ChatMessageEnd(e.b)
}

func (e *Encoder) whisper(m WhisperMessage) flatbuffers.UOffsetT {
	sender, target := e.user(m.Sender), e.b.CreateString(m.TargetUserID)
	text, id := e.b.CreateString(m.Text), e.text(m.ClientMessageID)
	clientv1.WhisperMessageStart(e.b)
	clientv1.WhisperMessageAddSender(e.b, sender)
	clientv1.WhisperMessageAddTargetUserId(e.b, target)
	clientv1.WhisperMessageAddText(e.b, text)
	if id != 0 {
		clientv1.WhisperMessageAddClientMessageId(e.b, id)
	}
	return clientv1.WhisperMessageEnd(e.b)
}

func (e *Encoder) emote(m EmoteMessage) flatbuffers.UOffsetT {
	sender, emote := e.user(m.Sender), e.b.CreateString(m.EmoteID)
	target, id := e.text(m.TargetUserID), e.text(m.ClientMessageID)
	clientv1.EmoteMessageStart(e.b)
	clientv1.EmoteMessageAddSender(e.b, sender)
	clientv1.EmoteMessageAddEmoteId(e.b, emote)
	if target != 0 {
		clientv1.EmoteMessageAddTargetUserId(e.b, target)
	}
	if id != 0 {
		clientv1.EmoteMessageAddClientMessageId(e.b, id)
	}
	return clientv1.EmoteMessageEnd(e.b)
}
