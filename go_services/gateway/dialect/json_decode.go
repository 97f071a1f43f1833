package dialect

import (
	"encoding/json"
	"errors"
	"fmt"

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

var errNoPosition = errors.New("position is missing")

// jsonBodies decodes each body by the name that it stands under.
var jsonBodies = map[string]func(json.RawMessage) (ClientBody, error){
	"hello":   decodeBody[Hello],
	"refresh": decodeBody[Refresh],
	"join":    decodeBody[Join],
	"leave":   decodeBody[Leave],
	"move":    decodeMove,
	"chat":    decodeBody[Chat],
	"whisper": decodeBody[Whisper],
	"emote":   decodeBody[Emote],
	"call":    decodeCall,
	"ping":    decodeBody[Ping],
}

// decodeJSON reads a client frame: an object with a `rid` and one body under its name.
func decodeJSON(data []byte) (ClientFrame, error) {
	var frame ClientFrame
	var parts map[string]json.RawMessage
	if err := json.Unmarshal(data, &parts); err != nil {
		return frame, malformed(err)
	}
	if rid, ok := parts["rid"]; ok {
		if err := json.Unmarshal(rid, &frame.RID); err != nil {
			return frame, fmt.Errorf("%w: rid is no 32-bit number", ErrMalformed)
		}
		delete(parts, "rid")
	}
	if len(parts) == 0 {
		return frame, fmt.Errorf("%w: it has no body", ErrMalformed)
	}
	for name, raw := range parts {
		decode := jsonBodies[name]
		switch {
		case decode == nil:
			continue
		case frame.Body != nil:
			return frame, fmt.Errorf("%w: it has more than one body", ErrMalformed)
		case string(raw) == "null":
			return frame, fmt.Errorf("%w: %s is null", ErrMalformed, name)
		}
		var err error
		if frame.Body, err = decode(raw); err != nil {
			return frame, malformed(err)
		}
	}
	if frame.Body == nil {
		return frame, ErrUnknown
	}
	return frame, missing(frame.Body)
}

func decodeBody[T ClientBody](raw json.RawMessage) (ClientBody, error) {
	var body T
	err := json.Unmarshal(raw, &body)
	return body, err
}

func decodeMove(raw json.RawMessage) (ClientBody, error) {
	var m jsonMove
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, err
	}
	if m.Position == nil {
		return nil, errNoPosition
	}
	return Move{Position: frames.Vec3(*m.Position), Yaw: m.Yaw, Animation: m.Animation, Values: m.Values}, nil
}

func decodeCall(raw json.RawMessage) (ClientBody, error) {
	var c jsonCall
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, err
	}
	return Call{Method: c.Method, Payload: c.Request}, nil
}

// malformed says what is wrong in the client's terms, without Go's types.
func malformed(err error) error {
	var wrongType *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, errNoPosition):
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	case errors.As(err, &wrongType) && wrongType.Field != "":
		return fmt.Errorf("%w: %s can not be a %s", ErrMalformed, wrongType.Field, wrongType.Value)
	case errors.As(err, &syntax):
		return fmt.Errorf("%w: no JSON at byte %d", ErrMalformed, syntax.Offset)
	}
	return fmt.Errorf("%w: it is no JSON object of this kind", ErrMalformed)
}
