package dialect

import (
	"bytes"
	"fmt"

	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

// clientIdentifier is the file identifier of ClientFrame.
const clientIdentifier = "WMC1"

// decodeFlatBuffers reads a ClientFrame. Slots are in the order of the fields in client.fbs; a union takes two.
func decodeFlatBuffers(data []byte) (ClientFrame, error) {
	f := flat{data: data}
	root := f.root()
	if f.err == nil && string(data[4:8]) != clientIdentifier {
		f.fail("it is no ClientFrame of this version")
	}
	frame := ClientFrame{RID: f.uint32At(root, 0)}
	kind := clientv1.ClientBody(f.byteAt(root, 1))
	body, ok := f.tableAt(root, 2)
	if !ok || kind == clientv1.ClientBodyNONE {
		f.fail("it has no body")
	}
	if f.err != nil {
		return frame, f.err
	}
	if frame.Body = f.body(kind, body); f.err != nil {
		return frame, f.err
	}
	if frame.Body == nil {
		return frame, ErrUnknown
	}
	return frame, missing(frame.Body)
}

func (f *flat) body(kind clientv1.ClientBody, t table) ClientBody {
	switch kind {
	case clientv1.ClientBodyHello:
		return Hello{AccessToken: f.text(t, 0), DeviceName: f.text(t, 1)}
	case clientv1.ClientBodyRefresh:
		return Refresh{AccessToken: f.text(t, 0)}
	case clientv1.ClientBodyJoin:
		return Join{RoomID: f.text(t, 0), Resume: f.position(t, 1)}
	case clientv1.ClientBodyLeave:
		return Leave{}
	case clientv1.ClientBodyMove:
		return f.move(t)
	case clientv1.ClientBodyChat:
		return Chat{Text: f.text(t, 0), ClientMessageID: f.text(t, 1)}
	case clientv1.ClientBodyWhisper:
		return Whisper{TargetUserID: f.text(t, 0), Text: f.text(t, 1), ClientMessageID: f.text(t, 2)}
	case clientv1.ClientBodyEmote:
		return Emote{EmoteID: f.text(t, 0), TargetUserID: f.text(t, 1), ClientMessageID: f.text(t, 2)}
	case clientv1.ClientBodyCall:
		return Call{Method: f.text(t, 0), Payload: bytes.Clone(f.vector(t, 1))}
	case clientv1.ClientBodyPing:
		return Ping{ClientTimeMS: f.uint64At(t, 0)}
	default:
		return nil
	}
}

func (f *flat) position(t table, slot int) *Position {
	p, ok := f.tableAt(t, slot)
	if !ok {
		return nil
	}
	return &Position{Epoch: f.uint64At(p, 0), Seq: f.uint64At(p, 1), Sub: f.uint32At(p, 2)}
}

func (f *flat) move(t table) ClientBody {
	const float = 4
	at := f.field(t, 0, 3*float)
	if at == 0 {
		f.fail("position is missing")
		return nil
	}
	return Move{
		Position: frames.Vec3{X: f.float32(at), Y: f.float32(at + float), Z: f.float32(at + 2*float)},
		Yaw:      f.uint16At(t, 1), Animation: f.uint16At(t, 2), Values: f.vector(t, 3),
	}
}

// missing says which required text is not there; an empty one is as good as none.
func missing(body ClientBody) error {
	var value, name string
	switch b := body.(type) {
	case Hello:
		value, name = b.AccessToken, "access_token"
	case Refresh:
		value, name = b.AccessToken, "access_token"
	case Join:
		value, name = b.RoomID, "room_id"
	case Whisper:
		value, name = b.TargetUserID, "target_user_id"
	case Emote:
		value, name = b.EmoteID, "emote_id"
	case Call:
		value, name = b.Method, "method"
	}
	if name != "" && value == "" {
		return fmt.Errorf("%w: %s is missing", ErrMalformed, name)
	}
	return nil
}
