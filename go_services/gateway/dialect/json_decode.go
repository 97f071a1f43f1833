package dialect

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

type jsonVec3 struct {
	X float32 `json:"x"`
	Y float32 `json:"y"`
	Z float32 `json:"z"`
}

type jsonMove struct {
	Position  *jsonVec3 `json:"position"`
	Yaw       uint16    `json:"yaw"`
	Animation uint16    `json:"animation"`
	Values    []byte    `json:"values"`
}

type jsonCall struct {
	Method  string          `json:"method"`
	Request json.RawMessage `json:"request"`
}

// jsonFrame has one field a body; exactly one of them is set.
type jsonFrame struct {
	RID     uint32    `json:"rid"`
	Hello   *Hello    `json:"hello"`
	Refresh *Refresh  `json:"refresh"`
	Join    *Join     `json:"join"`
	Leave   *Leave    `json:"leave"`
	Move    *jsonMove `json:"move"`
	Chat    *Chat     `json:"chat"`
	Whisper *Whisper  `json:"whisper"`
	Emote   *Emote    `json:"emote"`
	Call    *jsonCall `json:"call"`
	Ping    *Ping     `json:"ping"`
}

func decodeJSON(data []byte) (ClientFrame, error) {
	var f jsonFrame
	if err := json.Unmarshal(data, &f); err != nil {
		return ClientFrame{}, fmt.Errorf("%w: %s", ErrMalformed, jsonProblem(err))
	}
	frame := ClientFrame{RID: f.RID}
	bodies := 0
	for _, body := range f.bodies() {
		if v := reflect.ValueOf(body); !v.IsNil() {
			bodies++
			if b, ok := v.Elem().Interface().(ClientBody); ok {
				frame.Body = b
			}
		}
	}
	switch {
	case bodies == 0:
		return frame, ErrUnknown
	case bodies > 1:
		return frame, fmt.Errorf("%w: it has more than one body", ErrMalformed)
	case f.Move != nil:
		return f.move(frame)
	case f.Call != nil:
		frame.Body = Call{Method: f.Call.Method, Payload: f.Call.Request}
	}
	return frame, missing(frame.Body)
}

func (f *jsonFrame) bodies() []any {
	return []any{f.Hello, f.Refresh, f.Join, f.Leave, f.Move, f.Chat, f.Whisper, f.Emote, f.Call, f.Ping}
}

func (f *jsonFrame) move(frame ClientFrame) (ClientFrame, error) {
	if f.Move.Position == nil {
		return frame, fmt.Errorf("%w: position is missing", ErrMalformed)
	}
	frame.Body = Move{
		Position: frames.Vec3(*f.Move.Position), Yaw: f.Move.Yaw, Animation: f.Move.Animation, Values: f.Move.Values,
	}
	return frame, nil
}

// missing says which required text is not there; FlatBuffers knows that by itself.
func missing(body ClientBody) error {
	var name string
	switch b := body.(type) {
	case Hello:
		name = ifEmpty(b.AccessToken, "access_token")
	case Refresh:
		name = ifEmpty(b.AccessToken, "access_token")
	case Join:
		name = ifEmpty(b.RoomID, "room_id")
	case Whisper:
		name = ifEmpty(b.TargetUserID, "target_user_id")
	case Emote:
		name = ifEmpty(b.EmoteID, "emote_id")
	case Call:
		name = ifEmpty(b.Method, "method")
	}
	if name != "" {
		return fmt.Errorf("%w: %s is missing", ErrMalformed, name)
	}
	return nil
}

func ifEmpty(value, name string) string {
	if value == "" {
		return name
	}
	return ""
}

// jsonProblem says what is wrong in the client's terms, without Go's types.
func jsonProblem(err error) string {
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		return fmt.Sprintf("%s can not be a %s", wrongType.Field, wrongType.Value)
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Sprintf("no JSON at byte %d", syntax.Offset)
	}
	return "no JSON"
}
