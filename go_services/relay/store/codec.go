package store

import (
	"fmt"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/relay/room"
	"google.golang.org/protobuf/proto"
)

func encodeEntry(e *room.Entry) string {
	m := &roomv1.LogEntry{
		Position: &roomv1.LogPosition{Epoch: e.Epoch, Seq: e.Seq, Sub: e.Sub}, TimeMs: e.TimeMS,
		AuthorUserId: e.Author, Key: e.Key, ToUserIds: e.To, Frame: e.Frame, LeftEntity: e.Left,
	}
	if e.Joined != nil {
		m.Joined = memberMessage(*e.Joined)
	}
	return encode(m)
}

func decodeEntry(raw string) (room.Entry, error) {
	var m roomv1.LogEntry
	if err := proto.Unmarshal([]byte(raw), &m); err != nil {
		return room.Entry{}, fmt.Errorf("read log entry: %w", err)
	}
	p := m.GetPosition()
	e := room.Entry{
		LogPosition: frames.LogPosition{Epoch: p.GetEpoch(), Seq: p.GetSeq(), Sub: p.GetSub()}, TimeMS: m.GetTimeMs(),
		Author: m.GetAuthorUserId(), Key: m.GetKey(), To: m.GetToUserIds(), Frame: m.GetFrame(), Left: m.GetLeftEntity(),
	}
	if m.GetJoined() != nil {
		joined := memberOf(m.GetJoined())
		e.Joined = &joined
	}
	return e, nil
}

func encodeMember(r room.Record) string { return encode(memberMessage(r)) }

func decodeMember(raw string) (room.Record, error) {
	var m roomv1.LogMember
	if err := proto.Unmarshal([]byte(raw), &m); err != nil {
		return room.Record{}, fmt.Errorf("read log member: %w", err)
	}
	return memberOf(&m), nil
}

func memberMessage(r room.Record) *roomv1.LogMember {
	return &roomv1.LogMember{
		Entity: r.Entity, User: &commonv1.PublicUser{UserId: r.User.ID, Username: r.User.Username, Bot: r.User.Bot},
		GatewaySessionId: r.Session, Role: r.Role, SinceMs: r.SinceMS,
	}
}

func memberOf(m *roomv1.LogMember) room.Record {
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
