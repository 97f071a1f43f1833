package store

import (
	"fmt"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/relay/room"
	"google.golang.org/protobuf/proto"
)

// EntryMessage is an entry as it is kept.
func EntryMessage(e *room.Entry) *roomv1.LogEntry {
	m := &roomv1.LogEntry{
		Position: &roomv1.LogPosition{Epoch: e.Epoch, Seq: e.Seq, Sub: e.Sub}, TimeMs: e.TimeMS,
		AuthorUserId: e.Author, Key: e.Key, ToUserIds: e.To, Frame: e.Frame, LeftEntity: e.Left,
	}
	if e.Joined != nil {
		m.Joined = MemberMessage(*e.Joined)
	}
	return m
}

func encodeEntry(e *room.Entry) string { return encode(EntryMessage(e)) }

func decodeEntry(raw string) (room.Entry, error) {
	var m roomv1.LogEntry
	if err := proto.Unmarshal([]byte(raw), &m); err != nil {
		return room.Entry{}, fmt.Errorf("read log entry: %w", err)
	}
	return EntryOf(&m), nil
}

// EntryOf is the entry that was kept as a message.
func EntryOf(m *roomv1.LogEntry) room.Entry {
	p := m.GetPosition()
	e := room.Entry{
		LogPosition: frames.LogPosition{Epoch: p.GetEpoch(), Seq: p.GetSeq(), Sub: p.GetSub()}, TimeMS: m.GetTimeMs(),
		Author: m.GetAuthorUserId(), Key: m.GetKey(), To: m.GetToUserIds(), Frame: m.GetFrame(), Left: m.GetLeftEntity(),
	}
	if m.GetJoined() != nil {
		joined := MemberOf(m.GetJoined())
		e.Joined = &joined
	}
	return e
}

func encodeMember(r room.Record) string { return encode(MemberMessage(r)) }

func decodeMember(raw string) (room.Record, error) {
	var m roomv1.LogMember
	if err := proto.Unmarshal([]byte(raw), &m); err != nil {
		return room.Record{}, fmt.Errorf("read log member: %w", err)
	}
	return MemberOf(&m), nil
}

// MemberMessage is a member as it is kept.
func MemberMessage(r room.Record) *roomv1.LogMember {
	return &roomv1.LogMember{
		Entity: r.Entity, User: &commonv1.PublicUser{UserId: r.User.ID, Username: r.User.Username, Bot: r.User.Bot},
		GatewaySessionId: r.Session, Role: r.Role, SinceMs: r.SinceMS,
	}
}

// MemberOf is the member that was kept as a message.
func MemberOf(m *roomv1.LogMember) room.Record {
	u := m.GetUser()
	return room.Record{
		Entity: m.GetEntity(), User: frames.User{ID: u.GetUserId(), Username: u.GetUsername(), Bot: u.GetBot()},
		Session: m.GetGatewaySessionId(), Role: m.GetRole(), SinceMS: m.GetSinceMs(),
	}
}

// encode can't fail: what is not UTF-8 was refused when it came in.
func encode(m proto.Message) string {
	raw, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(raw)
}
