package roomsim

import (
	"fmt"

	flatbuffers "github.com/google/flatbuffers/go"
	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

// word is a frame as a client reads it.
type word struct {
	kind    clientv1.ServerBody
	rid     uint32
	at      frames.LogPosition // of an event, or of the snapshot
	text    string             // of an event
	reason  string             // of an error, or of leaving
	resumed bool
	gap     bool
}

// read decodes a frame.
func read(frame []byte) word {
	root := clientv1.GetRootAsServerFrame(frame, 0)
	w := word{kind: root.BodyType(), rid: root.Rid()}
	var table flatbuffers.Table
	if !root.Body(&table) {
		return w
	}
	switch w.kind {
	case clientv1.ServerBodyError:
		var e clientv1.Error
		e.Init(table.Bytes, table.Pos)
		w.reason = string(e.Reason())
	case clientv1.ServerBodyRoomLeft:
		var left clientv1.RoomLeft
		left.Init(table.Bytes, table.Pos)
		w.reason = string(left.Reason())
	case clientv1.ServerBodySnapshot:
		var s clientv1.Snapshot
		s.Init(table.Bytes, table.Pos)
		w.at = frames.LogPosition{Epoch: s.Epoch(), Seq: s.Seq(), Sub: s.Sub()}
		w.resumed, w.gap = s.Resumed(), s.Gap()
	case clientv1.ServerBodyRoomEvent:
		var e clientv1.RoomEvent
		e.Init(table.Bytes, table.Pos)
		w.at = frames.LogPosition{Epoch: e.Epoch(), Seq: e.Seq(), Sub: e.Sub()}
		w.text = textOf(&e)
	}
	return w
}

// textOf is what was said, or a mark of the event.
func textOf(e *clientv1.RoomEvent) string {
	var body flatbuffers.Table
	if !e.Body(&body) {
		return ""
	}
	switch e.BodyType() {
	case clientv1.EventBodyChatMessage:
		var chat clientv1.ChatMessage
		chat.Init(body.Bytes, body.Pos)
		return string(chat.Text())
	case clientv1.EventBodyWhisperMessage:
		var whisper clientv1.WhisperMessage
		whisper.Init(body.Bytes, body.Pos)
		return string(whisper.Text())
	case clientv1.EventBodyMemberLeft:
		var left clientv1.MemberLeft
		left.Init(body.Bytes, body.Pos)
		return fmt.Sprintf("<entity %d leaves>", left.Entity())
	default:
		return fmt.Sprintf("<%s %d>", e.BodyType(), e.Seq())
	}
}
