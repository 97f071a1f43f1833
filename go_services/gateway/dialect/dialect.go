// Package dialect turns WebSocket messages into client frames and server frames into WebSocket messages. There are
// two dialects, chosen by subprotocol: FlatBuffers, which is what relays send, and JSON, into which it is transcoded.
package dialect

import (
	"errors"

	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

// Dialect is how a socket writes its frames.
type Dialect uint8

// The dialects.
const (
	FlatBuffers Dialect = iota
	JSON
	count
)

// Count is how many dialects there are.
const Count = int(count)

// Subprotocols are the WebSocket subprotocols, by dialect. The number in them is the version of the schema.
var Subprotocols = [Count]string{"worldmesh.v1.flatbuffers", "worldmesh.v1.json"}

// BySubprotocol finds a dialect.
func BySubprotocol(name string) (Dialect, bool) {
	for d, known := range Subprotocols {
		if known == name {
			return Dialect(d), true
		}
	}
	return 0, false
}

func (d Dialect) String() string {
	if d == JSON {
		return "json"
	}
	return "flatbuffers"
}

// The ways in which a message can fail to be a frame.
var (
	// ErrMalformed: the message does not decode, or a required part is missing. The socket is closed.
	ErrMalformed = errors.New("the frame does not decode")
	// ErrUnknown: the frame decodes but its body is of no kind that this version knows. The socket stays open.
	ErrUnknown = errors.New("the frame's kind is not known")
)

// ClientFrame is one message of a client.
type ClientFrame struct {
	// RID is echoed in the answer.
	RID  uint32
	Body ClientBody
}

// ClientBody is one of Hello, Refresh, Join, Leave, Move, Chat, Whisper, Emote, Call, Ping.
type ClientBody interface{ Kind() string }

// The bodies of client frames; proto/worldmesh/client/v1/client.fbs says what they mean.
type (
	Hello struct {
		AccessToken string `json:"access_token"`
		DeviceName  string `json:"device_name"`
	}
	Refresh struct {
		AccessToken string `json:"access_token"`
	}
	Join struct {
		RoomID string    `json:"room_id"`
		Resume *Position `json:"resume"`
	}
	// Position is a place in a room's ordered channel.
	Position struct {
		Epoch uint64 `json:"epoch"`
		Seq   uint64 `json:"seq"`
		Sub   uint32 `json:"sub"`
	}
	Leave struct{}
	Move  struct {
		Position  frames.Vec3
		Yaw       uint16
		Animation uint16
		// Values may be a part of the message: who keeps them copies them.
		Values []byte
	}
	Chat struct {
		Text            string `json:"text"`
		ClientMessageID string `json:"client_message_id"`
	}
	Whisper struct {
		TargetUserID    string `json:"target_user_id"`
		Text            string `json:"text"`
		ClientMessageID string `json:"client_message_id"`
	}
	Emote struct {
		EmoteID         string `json:"emote_id"`
		TargetUserID    string `json:"target_user_id"`
		ClientMessageID string `json:"client_message_id"`
	}
	// Call holds the request as Protobuf in the FlatBuffers dialect and as ProtoJSON in the JSON dialect.
	Call struct {
		Method  string
		Payload []byte
	}
	Ping struct {
		ClientTimeMS uint64 `json:"client_time_ms"`
	}
)

// Kind is the body's name as it stands in JSON and in the metrics of what clients send.
func (Hello) Kind() string   { return "hello" }
func (Refresh) Kind() string { return "refresh" }
func (Join) Kind() string    { return "join" }
func (Leave) Kind() string   { return "leave" }
func (Move) Kind() string    { return "move" }
func (Chat) Kind() string    { return "chat" }
func (Whisper) Kind() string { return "whisper" }
func (Emote) Kind() string   { return "emote" }
func (Call) Kind() string    { return "call" }
func (Ping) Kind() string    { return "ping" }

// Decode reads a client's message. The frame does not refer to data afterwards.
func (d Dialect) Decode(data []byte) (ClientFrame, error) {
	if d == JSON {
		return decodeJSON(data)
	}
	return decodeFlatBuffers(data)
}
