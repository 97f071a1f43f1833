// The golden frames of the contract tests (tests/contract): what relay and gateway write is read by the Python client,
// and what it writes is read here.
package frames_test

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"maps"
	"math"
	"os"
	"reflect"
	"slices"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/worldmesh/worldmesh/clients/go/statebatch"
	worldv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/world/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

var update = flag.Bool("update", false, "write tests/contract/golden/frames.server.json anew")

const (
	golden       = "../../../tests/contract/golden/"
	serverFrames = golden + "frames.server.json" // written here, read by Python
	clientFrames = golden + "frames.client.json" // written by Python, read here
)

type sample struct {
	Hex  string          `json:"hex"`
	JSON json.RawMessage `json:"json"`
}

func (s sample) bytes(t *testing.T) []byte {
	t.Helper()
	data, err := hex.DecodeString(s.Hex)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

var (
	ann   = frames.User{ID: "usr_1", Username: "ann"}
	robot = frames.User{ID: "usr_2", Username: "naïve ☃ 𝄞 \"\\\n", Bot: true}
	here  = frames.EntityState{Entity: 7, Position: frames.Vec3{X: 1.3, Y: 2.5, Z: 33.33}, Yaw: 16384, Animation: 3}
	edge  = frames.EntityState{
		Entity: math.MaxUint32, Position: frames.Vec3{X: -1.5, Y: 65536, Z: -0.25}, Yaw: math.MaxUint16, Animation: math.MaxUint16,
	}
)

// encoded is one sample of each kind of frame, and of those with something optional or large one more.
func encoded(e *frames.Encoder) map[string][]byte {
	const large = 1<<53 - 1 // the largest that JSON carries for certain
	event := func(body frames.EventBody) frames.Event {
		return frames.Event{LogPosition: frames.LogPosition{Epoch: 2, Seq: 99}, TimeMS: 1795482123456, Body: body}
	}
	whisper := event(frames.WhisperMessage{Sender: ann, TargetUserID: "usr_2", Text: "psst", ClientMessageID: "m2"})
	whisper.Sub = 1
	all := map[string][]byte{}
	add := func(name string, frame []byte) { all[name] = slices.Clone(frame) }

	add("welcome", e.Welcome(1, frames.Welcome{GatewaySessionID: "gws_1", User: ann, HeartbeatMS: 15000, TokenExpiresInMS: 300000}))
	add("ok", e.Ok(2))
	add("ok largest", e.Ok(math.MaxUint32))
	add("error", e.Error(3, frames.Error{Reason: "ROOM_FULL", Message: "the room is full", Code: 8, RetryAfterMS: 1500}))
	add("error bare", e.Error(0, frames.Error{Reason: "FRAME_MALFORMED"}))
	add("snapshot", e.Snapshot(4, frames.Snapshot{
		RoomID: "room_1", DisplayName: "Plaza", LogPosition: frames.LogPosition{Epoch: 2, Seq: 98}, Tick: 1000, TickHz: 20, Width: 40, Depth: 30.5, MaxSpeed: 8,
		SelfEntity: 7, Members: []frames.Member{{User: ann, State: here, Values: []byte{0, 1, 255}}, {User: robot, State: edge}},
	}))
	add("snapshot resumed", e.Snapshot(4, frames.Snapshot{
		RoomID: "room_1", LogPosition: frames.LogPosition{Epoch: 2, Seq: 98, Sub: 3}, Resumed: true, Gap: true,
	}))
	add("snapshot of a full room", e.Snapshot(4, frames.Snapshot{
		RoomID: "room_1", SelfEntity: 7, Members: []frames.Member{{User: ann, State: here}}, ViewRadius: 14,
	}))
	add("roster", e.Roster(frames.Roster{Members: []frames.Member{{User: ann, State: here}, {User: robot, State: edge}}}))
	add("roster bare", e.Roster(frames.Roster{Last: true}))
	add("snapshot bare", e.Snapshot(5, frames.Snapshot{RoomID: "room_1"}))
	add("snapshot largest", e.Snapshot(6, frames.Snapshot{RoomID: "room_1", LogPosition: frames.LogPosition{Epoch: large, Seq: large}, Tick: large, TickHz: 255}))
	add("state_batch", e.StateBatch(frames.StateBatch{
		Tick: 1001, States: []frames.EntityState{here, edge}, Values: []frames.EntityValues{{Entity: 7, Values: []byte{0, 1, 255}}},
	}))
	add("state_batch bare", e.StateBatch(frames.StateBatch{}))
	add("state_batch of what is in sight", e.StateBatch(frames.StateBatch{
		Tick: 1002, States: []frames.EntityState{here}, Gone: []uint32{8, math.MaxUint32}, Anew: true,
	}))
	add("correction", e.Correction(edge))
	add("room_event member_joined", e.Event(event(frames.MemberJoined{Member: frames.Member{User: robot, State: here}})))
	add("room_event member_joined out of sight", e.Event(event(frames.MemberJoined{
		Member: frames.Member{User: ann, State: here}, OutOfSight: true,
	})))
	add("room_event member_left", e.Event(event(frames.MemberLeft{Entity: 7, UserID: "usr_1"})))
	add("room_event chat_message", e.Event(event(frames.ChatMessage{Sender: robot, Text: robot.Username, ClientMessageID: "m1"})))
	add("room_event chat_message bare", e.Event(event(frames.ChatMessage{Sender: ann, Text: "hi"})))
	add("room_event whisper_message", e.Event(whisper))
	add("room_event emote_message", e.Event(event(frames.EmoteMessage{
		Sender: ann, EmoteID: "wave", TargetUserID: "usr_2", ClientMessageID: "m3",
	})))
	add("room_left", e.RoomLeft("room_1", "MEMBER_REPLACED"))
	add("call_result", e.CallResult(8, []byte{10, 3, 'a', 'b', 'c'}))
	add("pong", e.Pong(9, 1795482123456, large))
	return all
}

// TestServerFrames compares what relay and gateway write with the golden files, in both dialects.
func TestServerFrames(t *testing.T) {
	got := map[string]sample{}
	for name, frame := range encoded(frames.NewEncoder()) {
		got[name] = sample{Hex: hex.EncodeToString(frame), JSON: asJSON(t, name, frame)}
	}
	if *update {
		writeFrames(t, serverFrames, got)
	}
	want := readFrames(t, serverFrames)
	for name := range want {
		if _, ok := got[name]; !ok {
			t.Errorf("%s is no longer written", name)
		}
	}
	for name, g := range got {
		if w := want[name]; g.Hex != w.Hex || !sameJSON(t, g.JSON, w.JSON) {
			t.Errorf("%s:\n got %s\n     %s\nwant %s\n     %s\n(-update renews)", name, g.Hex, g.JSON, w.Hex, w.JSON)
		}
	}
}

// asJSON is the frame in the JSON dialect. The gateway makes the answer to a call from the response itself.
func asJSON(t *testing.T, name string, frame []byte) json.RawMessage {
	t.Helper()
	if name == "call_result" {
		return dialect.JSONCallResult(8, json.RawMessage(`{"nextPageToken":"abc"}`))
	}
	message, err := dialect.AppendJSON(nil, frame, &statebatch.Batch{})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return message
}

// TestClientFrames reads what the Python client wrote, in both dialects, and finds the same.
func TestClientFrames(t *testing.T) {
	all := readFrames(t, clientFrames)
	kinds := map[string]bool{}
	for name, s := range all {
		binary, err := dialect.FlatBuffers.Decode(s.bytes(t))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		text, err := dialect.JSON.Decode(s.JSON)
		if err != nil {
			t.Errorf("%s in JSON: %v", name, err)
			continue
		}
		kinds[binary.Body.Kind()] = true
		if binary.RID != text.RID || !reflect.DeepEqual(plain(t, binary.Body), plain(t, text.Body)) {
			t.Errorf("%s: the dialects differ:\n%+v\n%+v", name, binary, text)
		}
		if _, ok := object(t, s.JSON)[binary.Body.Kind()]; !ok {
			t.Errorf("%s reads as %s", name, binary.Body.Kind())
		}
	}
	for _, kind := range []string{"hello", "refresh", "join", "leave", "move", "chat", "whisper", "emote", "call", "ping"} {
		if !kinds[kind] {
			t.Errorf("no sample of %s", kind)
		}
	}
}

// plain brings the request of a call, which is Protobuf or ProtoJSON, to one form; the samples call UpdateRoom.
func plain(t *testing.T, body dialect.ClientBody) dialect.ClientBody {
	t.Helper()
	call, ok := body.(dialect.Call)
	if !ok {
		if move, ok := body.(dialect.Move); ok && len(move.Values) == 0 {
			move.Values = nil
			return move
		}
		return body
	}
	request := &worldv1.UpdateRoomRequest{}
	if protojson.Unmarshal(call.Payload, request) != nil {
		if err := proto.Unmarshal(call.Payload, request); err != nil {
			t.Fatalf("the payload is neither ProtoJSON nor Protobuf: %v", err)
		}
	}
	payload, err := proto.MarshalOptions{Deterministic: true}.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	return dialect.Call{Method: call.Method, Payload: payload}
}

// TestFrameIdentifiers holds the version that the first bytes of every frame carry. A state batch is told by its first.
func TestFrameIdentifiers(t *testing.T) {
	for path, identifier := range map[string]string{serverFrames: "WMS1", clientFrames: "WMC1"} {
		for name, s := range readFrames(t, path) {
			if frame := s.bytes(t); !statebatch.Is(frame) && !flatbuffers.BufferHasIdentifier(frame, identifier) {
				t.Errorf("%s is not marked %s", name, identifier)
			}
		}
	}
}

func object(t *testing.T, data json.RawMessage) map[string]any {
	t.Helper()
	var value map[string]any
	if len(data) > 0 {
		if err := json.Unmarshal(data, &value); err != nil {
			t.Fatal(err)
		}
	}
	return value
}

func sameJSON(t *testing.T, a, b json.RawMessage) bool {
	t.Helper()
	return reflect.DeepEqual(object(t, a), object(t, b))
}

func readFrames(t *testing.T, path string) map[string]sample {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]sample
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return all
}

func writeFrames(t *testing.T, path string, all map[string]sample) {
	t.Helper()
	out := []byte("{\n")
	names := slices.Sorted(maps.Keys(all))
	for i, name := range names {
		line, err := json.Marshal(map[string]sample{name: all[name]})
		if err != nil {
			t.Fatal(err)
		}
		out = append(append(out, "  "...), line[1:len(line)-1]...)
		if i < len(names)-1 {
			out = append(out, ',')
		}
		out = append(out, '\n')
	}
	if err := os.WriteFile(path, append(out, "}\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
}
