package dialect

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/worldmesh/worldmesh/clients/go/statebatch"
	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

var errNoBody = errors.New("transcode server frame: no body")

// AppendJSON appends a frame of the FlatBuffers dialect, made by a service of ours, as JSON. Keys are the names in client.fbs.
// A state batch is read into one, whose slices are used again; it may be nil where none comes.
func AppendJSON(dst, data []byte, batch *statebatch.Batch) (message []byte, err error) {
	defer func() {
		if p := recover(); p != nil { // FlatBuffers' accessors panic on what is none
			message, err = dst, fmt.Errorf("transcode server frame: %v", p)
		}
	}()
	if statebatch.Is(data) {
		return appendStateBatch(dst, data, batch)
	}
	root := clientv1.GetRootAsServerFrame(data, 0)
	var body flatbuffers.Table
	if !root.Body(&body) {
		return dst, errNoBody
	}
	kind := root.BodyType()
	encode := jsonServerBodies[kind]
	if encode == nil {
		return dst, fmt.Errorf("transcode server frame: unknown body %d", kind)
	}
	return append(encode(appendOpen(dst, root.Rid()), body), '}'), nil
}

// appendOpen begins a frame; a rid of 0 is left out.
func appendOpen(b []byte, rid uint32) []byte {
	b = append(b, '{')
	if rid != 0 {
		b = appendUint(b, "rid", uint64(rid))
	}
	return b
}

// JSONCallResult is the answer to a call: the response is ProtoJSON.
func JSONCallResult(rid uint32, response json.RawMessage) []byte {
	b := append(appendKey(appendOpen(nil, rid), "call_result"), `{"response":`...)
	return append(append(b, response...), '}', '}')
}

// JSONError is the answer that a call was not done; details is the ProtoJSON of the google.rpc.Status' details.
func JSONError(rid uint32, e frames.Error, details json.RawMessage) []byte {
	b := append(appendKey(appendOpen(nil, rid), "error"), '{')
	b = appendError(b, []byte(e.Reason), []byte(e.Message), e.Code, e.RetryAfterMS)
	if len(details) > 0 {
		b = append(appendKey(b, "details"), details...)
	}
	return append(b, '}', '}')
}

func appendError(b, reason, message []byte, code int32, retryAfterMS uint32) []byte {
	b = appendText(appendText(b, "reason", reason), "message", message)
	return appendUint(appendInt(b, "code", int64(code)), "retry_after_ms", uint64(retryAfterMS))
}

// jsonServerBodies appends each body under its name.
var jsonServerBodies = map[clientv1.ServerBody]func([]byte, flatbuffers.Table) []byte{
	clientv1.ServerBodyWelcome: func(b []byte, t flatbuffers.Table) []byte {
		var m clientv1.Welcome
		m.Init(t.Bytes, t.Pos)
		b = append(appendKey(b, "welcome"), '{')
		b = appendText(b, "gateway_session_id", m.GatewaySessionId())
		b = appendUser(b, "user", m.User(nil))
		b = appendUint(b, "heartbeat_ms", uint64(m.HeartbeatMs()))
		return append(appendUint(b, "token_expires_in_ms", uint64(m.TokenExpiresInMs())), '}')
	},
	clientv1.ServerBodyOk: func(b []byte, _ flatbuffers.Table) []byte {
		return append(appendKey(b, "ok"), '{', '}')
	},
	clientv1.ServerBodyError: func(b []byte, t flatbuffers.Table) []byte {
		var m clientv1.Error
		m.Init(t.Bytes, t.Pos)
		b = append(appendKey(b, "error"), '{')
		return append(appendError(b, m.Reason(), m.Message(), m.Code(), m.RetryAfterMs()), '}')
	},
	clientv1.ServerBodySnapshot: appendSnapshot,
	clientv1.ServerBodyRoster:   appendRoster,
	clientv1.ServerBodyCorrection: func(b []byte, t flatbuffers.Table) []byte {
		var m clientv1.Correction
		m.Init(t.Bytes, t.Pos)
		b = append(appendKey(b, "correction"), '{')
		return append(appendState(appendKey(b, "state"), frames.StateOf(m.State(nil))), '}')
	},
	clientv1.ServerBodyRoomEvent: appendRoomEvent,
	clientv1.ServerBodyRoomLeft: func(b []byte, t flatbuffers.Table) []byte {
		var m clientv1.RoomLeft
		m.Init(t.Bytes, t.Pos)
		b = append(appendKey(b, "room_left"), '{')
		return append(appendText(appendText(b, "room_id", m.RoomId()), "reason", m.Reason()), '}')
	},
	clientv1.ServerBodyPong: func(b []byte, t flatbuffers.Table) []byte {
		var m clientv1.Pong
		m.Init(t.Bytes, t.Pos)
		b = append(appendKey(b, "pong"), '{')
		b = appendUint(b, "client_time_ms", m.ClientTimeMs())
		return append(appendUint(b, "server_time_ms", m.ServerTimeMs()), '}')
	},
}

func appendSnapshot(b []byte, t flatbuffers.Table) []byte {
	var m clientv1.Snapshot
	m.Init(t.Bytes, t.Pos)
	b = append(appendKey(b, "snapshot"), '{')
	b = appendText(b, "room_id", m.RoomId())
	b = appendText(b, "display_name", m.DisplayName())
	b = appendUint(b, "epoch", m.Epoch())
	b = appendUint(b, "seq", m.Seq())
	b = appendUint(b, "tick", m.Tick())
	b = appendUint(b, "tick_hz", uint64(m.TickHz()))
	b = appendFloat(b, "width", m.Width())
	b = appendFloat(b, "depth", m.Depth())
	b = appendFloat(b, "max_speed", m.MaxSpeed())
	b = appendUint(b, "self_entity", uint64(m.SelfEntity()))
	b = append(appendKey(b, "members"), '[')
	var member clientv1.Member
	for i := range m.MembersLength() {
		m.Members(&member, i)
		b = appendMember(appendComma(b, i), &member)
	}
	b = appendSub(append(b, ']'), m.Sub())
	if m.Resumed() {
		b = appendBool(b, "resumed", true)
	}
	if m.Gap() {
		b = appendBool(b, "gap", true)
	}
	if m.ViewRadius() != 0 {
		b = appendFloat(b, "view_radius", m.ViewRadius())
	}
	return append(b, '}')
}

func appendRoster(b []byte, t flatbuffers.Table) []byte {
	var m clientv1.Roster
	m.Init(t.Bytes, t.Pos)
	b = append(appendKey(append(appendKey(b, "roster"), '{'), "members"), '[')
	var member clientv1.Member
	for i := range m.MembersLength() {
		m.Members(&member, i)
		b = appendMember(appendComma(b, i), &member)
	}
	b = append(b, ']')
	if m.Last() {
		b = appendBool(b, "last", true)
	}
	return append(b, '}')
}

// appendSub appends the number of a whisper after its event; most places have none.
func appendSub(b []byte, sub uint32) []byte {
	if sub == 0 {
		return b
	}
	return appendUint(b, "sub", uint64(sub))
}

func appendStateBatch(dst, frame []byte, m *statebatch.Batch) ([]byte, error) {
	if err := m.Read(frame); err != nil {
		return dst, fmt.Errorf("transcode server frame: %w", err)
	}
	b := append(appendKey(append(dst, '{'), "state_batch"), '{')
	b = append(appendKey(appendUint(b, "tick", m.Tick), "states"), '[')
	for i := range m.States {
		b = appendState(appendComma(b, i), m.States[i])
	}
	b = append(b, ']')
	if len(m.Values) > 0 {
		b = append(appendKey(b, "values"), '[')
		for i, v := range m.Values {
			b = appendUint(append(appendComma(b, i), '{'), "entity", uint64(v.Entity))
			b = append(appendBase64(b, "values", v.Values), '}')
		}
		b = append(b, ']')
	}
	if len(m.Gone) > 0 {
		b = append(appendKey(b, "gone"), '[')
		for i, entity := range m.Gone {
			b = strconv.AppendUint(appendComma(b, i), uint64(entity), 10)
		}
		b = append(b, ']')
	}
	if m.Anew {
		b = appendBool(b, "anew", true)
	}
	return append(b, '}', '}'), nil
}

func appendComma(b []byte, i int) []byte {
	if i > 0 {
		return append(b, ',')
	}
	return b
}
