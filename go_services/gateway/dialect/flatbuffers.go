package dialect

import (
	"bytes"
	"fmt"
	"math"
	"unicode/utf8"

	flatbuffers "github.com/google/flatbuffers/go"
	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

// clientIdentifier is the file identifier of ClientFrame.
const clientIdentifier = "WMC1"

// minFrame is a root offset and an identifier.
const minFrame = 8

// decodeFlatBuffers reads a ClientFrame. Go's FlatBuffers has no verifier: an offset that leads out of the message
// makes its accessors panic, which is what the recover is for. Nothing is recursive and nothing is written, so a
// forged message can do no more than that.
func decodeFlatBuffers(data []byte) (frame ClientFrame, err error) {
	defer func() {
		if recover() != nil {
			frame, err = ClientFrame{}, ErrMalformed
		}
	}()
	if len(data) < minFrame || !flatbuffers.BufferHasIdentifier(data, clientIdentifier) {
		return frame, fmt.Errorf("%w: it is no ClientFrame of this version", ErrMalformed)
	}
	root := clientv1.GetRootAsClientFrame(data, 0)
	frame.RID = root.Rid()
	r := reader{}
	if !root.Body(&r.table) {
		return frame, fmt.Errorf("%w: it has no body", ErrMalformed)
	}
	frame.Body = r.body(root.BodyType())
	if frame.Body == nil {
		return frame, ErrUnknown
	}
	return frame, r.err
}

// reader reads a body's table and keeps the first error.
type reader struct {
	table flatbuffers.Table
	err   error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrMalformed, what)
	}
}

func (r *reader) text(field []byte, required string) string {
	switch {
	case field == nil && required != "":
		r.fail(required + " is missing")
	case !utf8.Valid(field):
		r.fail("a text is not UTF-8")
	}
	return string(field)
}

func (r *reader) body(kind clientv1.ClientBody) ClientBody {
	t := r.table
	switch kind {
	case clientv1.ClientBodyHello:
		var m clientv1.Hello
		m.Init(t.Bytes, t.Pos)
		return Hello{AccessToken: r.text(m.AccessToken(), "access_token"), DeviceName: r.text(m.DeviceName(), "")}
	case clientv1.ClientBodyRefresh:
		var m clientv1.Refresh
		m.Init(t.Bytes, t.Pos)
		return Refresh{AccessToken: r.text(m.AccessToken(), "access_token")}
	case clientv1.ClientBodyJoin:
		var m clientv1.Join
		m.Init(t.Bytes, t.Pos)
		return Join{RoomID: r.text(m.RoomId(), "room_id")}
	case clientv1.ClientBodyLeave:
		return Leave{}
	case clientv1.ClientBodyMove:
		return r.move()
	case clientv1.ClientBodyChat:
		var m clientv1.Chat
		m.Init(t.Bytes, t.Pos)
		return Chat{Text: r.text(m.Text(), "text"), ClientMessageID: r.text(m.ClientMessageId(), "")}
	case clientv1.ClientBodyWhisper:
		var m clientv1.Whisper
		m.Init(t.Bytes, t.Pos)
		return Whisper{
			TargetUserID: r.text(m.TargetUserId(), "target_user_id"), Text: r.text(m.Text(), "text"),
			ClientMessageID: r.text(m.ClientMessageId(), ""),
		}
	case clientv1.ClientBodyEmote:
		var m clientv1.Emote
		m.Init(t.Bytes, t.Pos)
		return Emote{
			EmoteID: r.text(m.EmoteId(), "emote_id"), TargetUserID: r.text(m.TargetUserId(), ""),
			ClientMessageID: r.text(m.ClientMessageId(), ""),
		}
	case clientv1.ClientBodyCall:
		var m clientv1.Call
		m.Init(t.Bytes, t.Pos)
		return Call{Method: r.text(m.Method(), "method"), Payload: bytes.Clone(m.PayloadBytes())}
	case clientv1.ClientBodyPing:
		var m clientv1.Ping
		m.Init(t.Bytes, t.Pos)
		return Ping{ClientTimeMS: m.ClientTimeMs()}
	default:
		return nil
	}
}

func (r *reader) move() ClientBody {
	var m clientv1.Move
	m.Init(r.table.Bytes, r.table.Pos)
	p := m.Position(nil)
	if p == nil {
		r.fail("position is missing")
		return Move{}
	}
	move := Move{
		Position: frames.Vec3{X: p.X(), Y: p.Y(), Z: p.Z()},
		Yaw:      m.Yaw(), Animation: m.Animation(), Values: bytes.Clone(m.ValuesBytes()),
	}
	if !finite(move.Position) {
		r.fail("position is not finite")
	}
	return move
}

func finite(p frames.Vec3) bool {
	for _, v := range [...]float32{p.X, p.Y, p.Z} {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return false
		}
	}
	return true
}
