package dialect

import (
	"encoding/json"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

func TestServerFramesAsJSON(t *testing.T) {
	ann := frames.User{ID: "usr_ann", Username: "ann"}
	state := frames.EntityState{Entity: 7, Position: frames.Vec3{X: 1.25, Y: -0.5, Z: 1e6}, Yaw: 9, Animation: 2}
	values := []frames.EntityValues{{Entity: 7, Values: []byte{0xff}}}
	event := func(body frames.EventBody) []byte {
		return frames.NewEncoder().Event(frames.Event{LogPosition: frames.LogPosition{Epoch: 2, Seq: 3}, TimeMS: 4, Body: body})
	}
	tests := []struct {
		name string
		flat []byte
		json string
	}{
		{"welcome", frames.NewEncoder().Welcome(1, frames.Welcome{GatewaySessionID: "gws_1", User: ann, HeartbeatMS: 15000, TokenExpiresInMS: 9}),
			`{"rid":1,"welcome":{"gateway_session_id":"gws_1","user":{"user_id":"usr_ann","username":"ann","bot":false},"heartbeat_ms":15000,"token_expires_in_ms":9}}`},
		{"ok", frames.NewEncoder().Ok(5), `{"rid":5,"ok":{}}`},
		{"error", frames.NewEncoder().Error(0, frames.Error{Reason: "NOT_IN_ROOM", Message: `a "b"`, Code: 9, RetryAfterMS: 10}),
			`{"error":{"reason":"NOT_IN_ROOM","message":"a \"b\"","code":9,"retry_after_ms":10}}`},
		{"snapshot", frames.NewEncoder().Snapshot(6, frames.Snapshot{
			RoomID: "r", DisplayName: "Plaza", LogPosition: frames.LogPosition{Epoch: 1, Seq: 2}, Tick: 3, TickHz: 20, Width: 40, Depth: 30.5, MaxSpeed: 8, SelfEntity: 7,
			Members: []frames.Member{{User: ann, State: state, Values: []byte("v")}, {User: ann, State: state}},
		}), `{"rid":6,"snapshot":{"room_id":"r","display_name":"Plaza","epoch":1,"seq":2,"tick":3,"tick_hz":20,"width":40,"depth":30.5,"max_speed":8,"self_entity":7,"members":[` +
			`{"user":{"user_id":"usr_ann","username":"ann","bot":false},"state":{"entity":7,"position":{"x":1.25,"y":-0.5,"z":1e+06},"yaw":9,"animation":2},"values":"dg=="},` +
			`{"user":{"user_id":"usr_ann","username":"ann","bot":false},"state":{"entity":7,"position":{"x":1.25,"y":-0.5,"z":1e+06},"yaw":9,"animation":2}}]}}`},
		{"state_batch", frames.NewEncoder().StateBatch(frames.StateBatch{Tick: 11, States: []frames.EntityState{state}, Values: values}),
			`{"state_batch":{"tick":11,"states":[{"entity":7,"position":{"x":1.25,"y":-0.5,"z":1e+06},"yaw":9,"animation":2}],"values":[{"entity":7,"values":"/w=="}]}}`},
		{"empty state_batch", frames.NewEncoder().StateBatch(frames.StateBatch{Tick: 11}), `{"state_batch":{"tick":11,"states":[]}}`},
		{"correction", frames.NewEncoder().Correction(state),
			`{"correction":{"state":{"entity":7,"position":{"x":1.25,"y":-0.5,"z":1e+06},"yaw":9,"animation":2}}}`},
		{"member_joined", event(frames.MemberJoined{Member: frames.Member{User: ann, State: frames.EntityState{Entity: 1}}}),
			`{"room_event":{"epoch":2,"seq":3,"time_ms":4,"member_joined":{"member":{"user":{"user_id":"usr_ann","username":"ann","bot":false},"state":{"entity":1,"position":{"x":0,"y":0,"z":0},"yaw":0,"animation":0}}}}}`},
		{"member_left", event(frames.MemberLeft{Entity: 7, UserID: "usr_ann"}),
			`{"room_event":{"epoch":2,"seq":3,"time_ms":4,"member_left":{"entity":7,"user_id":"usr_ann"}}}`},
		{"chat_message", event(frames.ChatMessage{Sender: ann, Text: "<hi>\n", ClientMessageID: "m"}),
			`{"room_event":{"epoch":2,"seq":3,"time_ms":4,"chat_message":{"sender":{"user_id":"usr_ann","username":"ann","bot":false},"text":"<hi>\n","client_message_id":"m"}}}`},
		{"whisper_message", event(frames.WhisperMessage{Sender: ann, TargetUserID: "usr_bob", Text: "psst"}),
			`{"room_event":{"epoch":2,"seq":3,"time_ms":4,"whisper_message":{"sender":{"user_id":"usr_ann","username":"ann","bot":false},"target_user_id":"usr_bob","text":"psst","client_message_id":""}}}`},
		{"emote_message", event(frames.EmoteMessage{Sender: ann, EmoteID: "wave"}),
			`{"room_event":{"epoch":2,"seq":3,"time_ms":4,"emote_message":{"sender":{"user_id":"usr_ann","username":"ann","bot":false},"emote_id":"wave","target_user_id":"","client_message_id":""}}}`},
		{"room_left", frames.NewEncoder().RoomLeft("r", "MEMBER_REPLACED"), `{"room_left":{"room_id":"r","reason":"MEMBER_REPLACED"}}`},
		{"pong", frames.NewEncoder().Pong(12, 1<<40, 2), `{"rid":12,"pong":{"client_time_ms":1099511627776,"server_time_ms":2}}`},
	}
	for _, test := range tests {
		got, err := AppendJSON(nil, test.flat, new(frames.StateBatch))
		if err != nil || string(got) != test.json {
			t.Errorf("%s: %v\n got %s\nwant %s", test.name, err, got, test.json)
		}
		if !json.Valid(got) {
			t.Errorf("%s is no JSON: %s", test.name, got)
		}
	}
}

func TestAnswersToCallsAsJSON(t *testing.T) {
	if got := JSONCallResult(8, []byte(`{"a":1}`)); string(got) != `{"rid":8,"call_result":{"response":{"a":1}}}` {
		t.Errorf("%s", got)
	}
	got := JSONError(8, frames.Error{Reason: "ROOM_FULL", Code: 8}, []byte(`[]`))
	if string(got) != `{"rid":8,"error":{"reason":"ROOM_FULL","message":"","code":8,"retry_after_ms":0,"details":[]}}` {
		t.Errorf("%s", got)
	}
}

func TestABrokenServerFrameIsAnErrorAndNoPanic(t *testing.T) {
	flat := frames.NewEncoder().Welcome(1, frames.Welcome{GatewaySessionID: "gws_1", User: frames.User{ID: "u", Username: "n"}})
	for i := range flat {
		if got, err := AppendJSON([]byte("before"), flat[:i], nil); err != nil && string(got) != "before" {
			t.Errorf("cut at %d: the buffer holds %q", i, got)
		}
	}
	if _, err := AppendJSON(nil, flat[:12], nil); err == nil {
		t.Error("half a frame was transcoded")
	}
}

func TestTranscodingAllocatesNothing(t *testing.T) {
	var batch frames.StateBatch
	states, values := make([]frames.EntityState, 20), make([]frames.EntityValues, 10)
	for i := range values {
		values[i].Values = []byte("values")
	}
	flat := slices.Clone(frames.NewEncoder().StateBatch(frames.StateBatch{
		Tick: 1, States: states, Values: values, Gone: []uint32{1, 2},
	}))
	buf := make([]byte, 0, 64<<10)
	if n := testing.AllocsPerRun(100, func() { buf, _ = AppendJSON(buf[:0], flat, &batch) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Whatever a text holds, its JSON reads back as the text.
func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "plain", "a\"b\\c", "\x00\x1f\n\t\r", "grüß", "\u2028", "\xff\xfe", "a\xc3"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var back string
		quoted := appendString(nil, text)
		if err := json.Unmarshal(quoted, &back); err != nil {
			t.Fatalf("%q: %v", quoted, err)
		}
		if utf8.Valid(text) && back != string(text) {
			t.Errorf("%q came back as %q", text, back)
		}
	})
}

func BenchmarkAppendJSON(b *testing.B) {
	flat := frames.NewEncoder().StateBatch(frames.StateBatch{Tick: 1, States: make([]frames.EntityState, 10)})
	var buf []byte
	var batch frames.StateBatch
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = AppendJSON(buf[:0], flat, &batch)
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, s := range samples {
		if s.name != "move" {
			continue
		}
		for d, message := range map[Dialect][]byte{FlatBuffers: s.flat, JSON: []byte(s.json)} {
			b.Run(d.String(), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					_, _ = d.Decode(message)
				}
			})
		}
	}
}
