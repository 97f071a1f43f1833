package dialect

import (
	"encoding/json"
	"fmt"

	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

// The JSON forms of what FlatBuffers carries. Keys are the names in client.fbs.
type (
	jsonUser struct {
		UserID   string `json:"user_id"`
		Username string `json:"username"`
		Bot      bool   `json:"bot"`
	}
	jsonState struct {
		Entity    uint32   `json:"entity"`
		Position  jsonVec3 `json:"position"`
		Yaw       uint16   `json:"yaw"`
		Animation uint16   `json:"animation"`
	}
	jsonValues struct {
		Entity uint32 `json:"entity"`
		Values []byte `json:"values"`
	}
	jsonMember struct {
		User   jsonUser  `json:"user"`
		State  jsonState `json:"state"`
		Values []byte    `json:"values,omitempty"`
	}
)

type object = map[string]any

// ToJSON transcodes a FlatBuffers ServerFrame of ours into a JSON message.
func ToJSON(data []byte) (message []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			message, err = nil, fmt.Errorf("transcode server frame: %v", p)
		}
	}()
	root := clientv1.GetRootAsServerFrame(data, 0)
	var r reader
	if !root.Body(&r.table) {
		return nil, fmt.Errorf("transcode server frame: no body")
	}
	name, body := r.serverBody(root.BodyType())
	if name == "" {
		return nil, fmt.Errorf("transcode server frame: unknown body %d", root.BodyType())
	}
	return encodeJSON(root.Rid(), name, body)
}

func encodeJSON(rid uint32, name string, body any) ([]byte, error) {
	frame := object{name: body}
	if rid != 0 {
		frame["rid"] = rid
	}
	return json.Marshal(frame)
}

// JSONCallResult is the answer to a call: the response is ProtoJSON.
func JSONCallResult(rid uint32, response json.RawMessage) ([]byte, error) {
	return encodeJSON(rid, "call_result", object{"response": response})
}

// JSONError is the answer that a frame was not done; details is the ProtoJSON of the google.rpc.Status' details.
func JSONError(rid uint32, e frames.Error, details json.RawMessage) ([]byte, error) {
	body := object{"reason": e.Reason, "message": e.Message, "code": e.Code, "retry_after_ms": e.RetryAfterMS}
	if len(details) > 0 {
		body["details"] = details
	}
	return encodeJSON(rid, "error", body)
}

func (r *reader) serverBody(kind clientv1.ServerBody) (string, any) {
	t := r.table
	switch kind {
	case clientv1.ServerBodyWelcome:
		var m clientv1.Welcome
		m.Init(t.Bytes, t.Pos)
		return "welcome", object{
			"gateway_session_id": string(m.GatewaySessionId()), "user": userOf(m.User(nil)),
			"heartbeat_ms": m.HeartbeatMs(), "token_expires_in_ms": m.TokenExpiresInMs(),
		}
	case clientv1.ServerBodyOk:
		return "ok", object{}
	case clientv1.ServerBodyError:
		var m clientv1.Error
		m.Init(t.Bytes, t.Pos)
		return "error", object{
			"reason": string(m.Reason()), "message": string(m.Message()), "code": m.Code(), "retry_after_ms": m.RetryAfterMs(),
		}
	case clientv1.ServerBodySnapshot:
		return "snapshot", r.snapshot()
	case clientv1.ServerBodyStateBatch:
		return "state_batch", r.stateBatch()
	case clientv1.ServerBodyCorrection:
		var m clientv1.Correction
		m.Init(t.Bytes, t.Pos)
		return "correction", object{"state": stateOf(m.State(nil))}
	case clientv1.ServerBodyRoomEvent:
		return "room_event", r.roomEvent()
	case clientv1.ServerBodyRoomLeft:
		var m clientv1.RoomLeft
		m.Init(t.Bytes, t.Pos)
		return "room_left", object{"room_id": string(m.RoomId()), "reason": string(m.Reason())}
	case clientv1.ServerBodyPong:
		var m clientv1.Pong
		m.Init(t.Bytes, t.Pos)
		return "pong", object{"client_time_ms": m.ClientTimeMs(), "server_time_ms": m.ServerTimeMs()}
	default:
		return "", nil
	}
}

func (r *reader) snapshot() object {
	var m clientv1.Snapshot
	m.Init(r.table.Bytes, r.table.Pos)
	members := make([]jsonMember, m.MembersLength())
	for i := range members {
		var member clientv1.Member
		m.Members(&member, i)
		members[i] = memberOf(&member)
	}
	return object{
		"room_id": string(m.RoomId()), "display_name": string(m.DisplayName()),
		"epoch": m.Epoch(), "seq": m.Seq(), "tick": m.Tick(), "tick_hz": m.TickHz(),
		"width": m.Width(), "depth": m.Depth(), "max_speed": m.MaxSpeed(),
		"self_entity": m.SelfEntity(), "members": members,
	}
}

func (r *reader) stateBatch() object {
	var m clientv1.StateBatch
	m.Init(r.table.Bytes, r.table.Pos)
	states := make([]jsonState, m.StatesLength())
	for i := range states {
		var s clientv1.EntityState
		m.States(&s, i)
		states[i] = stateOf(&s)
	}
	batch := object{"tick": m.Tick(), "states": states}
	if n := m.ValuesLength(); n > 0 {
		values := make([]jsonValues, n)
		for i := range values {
			var v clientv1.EntityValues
			m.Values(&v, i)
			values[i] = jsonValues{Entity: v.Entity(), Values: v.ValuesBytes()}
		}
		batch["values"] = values
	}
	return batch
}

func (r *reader) roomEvent() object {
	var m clientv1.RoomEvent
	m.Init(r.table.Bytes, r.table.Pos)
	event := object{"epoch": m.Epoch(), "seq": m.Seq(), "time_ms": m.TimeMs()}
	var body reader
	if m.Body(&body.table) {
		name, value := body.eventBody(m.BodyType())
		event[name] = value
	}
	return event
}

func (r *reader) eventBody(kind clientv1.EventBody) (string, any) {
	t := r.table
	switch kind {
	case clientv1.EventBodyMemberJoined:
		var m clientv1.MemberJoined
		m.Init(t.Bytes, t.Pos)
		return "member_joined", object{"member": memberOf(m.Member(nil))}
	case clientv1.EventBodyMemberLeft:
		var m clientv1.MemberLeft
		m.Init(t.Bytes, t.Pos)
		return "member_left", object{"entity": m.Entity(), "user_id": string(m.UserId())}
	case clientv1.EventBodyChatMessage:
		var m clientv1.ChatMessage
		m.Init(t.Bytes, t.Pos)
		return "chat_message", object{
			"sender": userOf(m.Sender(nil)), "text": string(m.Text()), "client_message_id": string(m.ClientMessageId()),
		}
	case clientv1.EventBodyWhisperMessage:
		var m clientv1.WhisperMessage
		m.Init(t.Bytes, t.Pos)
		return "whisper_message", object{
			"sender": userOf(m.Sender(nil)), "target_user_id": string(m.TargetUserId()), "text": string(m.Text()),
			"client_message_id": string(m.ClientMessageId()),
		}
	case clientv1.EventBodyEmoteMessage:
		var m clientv1.EmoteMessage
		m.Init(t.Bytes, t.Pos)
		return "emote_message", object{
			"sender": userOf(m.Sender(nil)), "emote_id": string(m.EmoteId()), "target_user_id": string(m.TargetUserId()),
			"client_message_id": string(m.ClientMessageId()),
		}
	default:
		return "unknown", object{}
	}
}

func userOf(u *clientv1.User) jsonUser {
	return jsonUser{UserID: string(u.UserId()), Username: string(u.Username()), Bot: u.Bot()}
}

func stateOf(s *clientv1.EntityState) jsonState {
	p := s.Position(nil)
	return jsonState{
		Entity: s.Entity(), Position: jsonVec3{X: p.X(), Y: p.Y(), Z: p.Z()}, Yaw: s.Yaw(), Animation: s.Animation(),
	}
}

func memberOf(m *clientv1.Member) jsonMember {
	return jsonMember{User: userOf(m.User(nil)), State: stateOf(m.State(nil)), Values: m.ValuesBytes()}
}
