package gateway

import (
	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	worldv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/world/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
	"github.com/worldmesh/worldmesh/go_services/gateway/session"
)

// inputOf is a client's frame, but for steps, as an input of its room.
func inputOf(link uint32, session string, number uint64, f dialect.ClientFrame, traceparent string) *roomv1.Input {
	in := &roomv1.Input{Link: link, Rid: f.RID, Number: number, Traceparent: traceparent}
	switch b := f.Body.(type) {
	case dialect.Leave:
		in.Body = &roomv1.Input_Leave_{Leave: &roomv1.Input_Leave{GatewaySessionId: session}}
	case dialect.Chat:
		in.Body = &roomv1.Input_Chat_{Chat: &roomv1.Input_Chat{Text: b.Text, ClientMessageId: b.ClientMessageID}}
	case dialect.Whisper:
		in.Body = &roomv1.Input_Whisper_{Whisper: &roomv1.Input_Whisper{
			TargetUserId: b.TargetUserID, Text: b.Text, ClientMessageId: b.ClientMessageID,
		}}
	case dialect.Emote:
		in.Body = &roomv1.Input_Emote_{Emote: &roomv1.Input_Emote{
			EmoteId: b.EmoteID, TargetUserId: b.TargetUserID, ClientMessageId: b.ClientMessageID,
		}}
	}
	return in
}

// joinInput is the input of who enters; its link comes with the attachment.
func joinInput(e session.Enter, id string, number uint64, user session.User, role worldv1.RoomRole, traceparent string) *roomv1.Input {
	join := &roomv1.Input_Join{
		User:             &commonv1.PublicUser{UserId: user.ID, Username: user.Username, Bot: user.Bot},
		GatewaySessionId: id,
		Role:             int32(role),
	}
	if p := e.Resume; p != nil {
		join.Resume = &roomv1.LogPosition{Epoch: p.Epoch, Seq: p.Seq, Sub: p.Sub}
	}
	return &roomv1.Input{Rid: e.RID, Number: number, Traceparent: traceparent, Body: &roomv1.Input_Join_{Join: join}}
}

// exitInput is the input of who goes without waiting for an answer: for good, or on hold.
func exitInput(link uint32, session string, number uint64, hold bool) *roomv1.Input {
	in := &roomv1.Input{Link: link, Number: number}
	if hold {
		in.Body = &roomv1.Input_Detach_{Detach: &roomv1.Input_Detach{GatewaySessionId: session}}
	} else {
		in.Body = &roomv1.Input_Leave_{Leave: &roomv1.Input_Leave{GatewaySessionId: session}}
	}
	return in
}

// lookInput is the input of a member whose socket takes more again. It needs no number: when the stream is lost, the relay
// shows all anew.
func lookInput(m *member, view, roster bool) *roomv1.Input {
	return &roomv1.Input{Link: m.Link, Body: &roomv1.Input_Look_{Look: &roomv1.Input_Look{
		View: view, Roster: roster, AfterEntity: m.after,
	}}}
}

func configOf(entry *worldv1.AuthorizeEntryResponse) *roomv1.RoomConfig {
	s := entry.GetSettings()
	return &roomv1.RoomConfig{
		Capacity: entry.GetCapacity(), Width: s.GetWidth(), Depth: s.GetDepth(), TickHz: s.GetTickHz(),
		MaxSpeed: s.GetMaxSpeed(), Spawn: s.GetSpawn(), DisplayName: entry.GetDisplayName(),
	}
}
