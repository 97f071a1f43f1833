package dialect

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"
	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

// encodeClient writes a client frame as FlatBuffers, as a client's library does.
func encodeClient(rid uint32, kind clientv1.ClientBody, body func(*flatbuffers.Builder) flatbuffers.UOffsetT) []byte {
	b := flatbuffers.NewBuilder(0)
	at := body(b)
	clientv1.ClientFrameStart(b)
	clientv1.ClientFrameAddRid(b, rid)
	clientv1.ClientFrameAddBodyType(b, kind)
	clientv1.ClientFrameAddBody(b, at)
	b.FinishWithFileIdentifier(clientv1.ClientFrameEnd(b), []byte(clientIdentifier))
	return b.FinishedBytes()
}

// texts writes a table whose fields are all texts; an empty one is left out.
func texts(values ...string) func(*flatbuffers.Builder) flatbuffers.UOffsetT {
	return func(b *flatbuffers.Builder) flatbuffers.UOffsetT {
		offsets := make([]flatbuffers.UOffsetT, len(values))
		for i, v := range values {
			if v != "" {
				offsets[i] = b.CreateString(v)
			}
		}
		b.StartObject(len(values))
		for i, o := range offsets {
			b.PrependUOffsetTSlot(i, o, 0)
		}
		return b.EndObject()
	}
}

func move(b *flatbuffers.Builder, x, y, z float32, values []byte) flatbuffers.UOffsetT {
	var at flatbuffers.UOffsetT
	if values != nil {
		at = b.CreateByteVector(values)
	}
	clientv1.MoveStart(b)
	clientv1.MoveAddPosition(b, clientv1.CreateVec3(b, x, y, z))
	clientv1.MoveAddYaw(b, 16384)
	clientv1.MoveAddAnimation(b, 3)
	if values != nil {
		clientv1.MoveAddValues(b, at)
	}
	return clientv1.MoveEnd(b)
}

func ping(b *flatbuffers.Builder) flatbuffers.UOffsetT {
	clientv1.PingStart(b)
	clientv1.PingAddClientTimeMs(b, 1<<40)
	return clientv1.PingEnd(b)
}

// samples are client frames of every kind, in both dialects.
var samples = []struct {
	name string
	flat []byte
	json string
	want ClientFrame
}{
	{"hello", encodeClient(1, clientv1.ClientBodyHello, texts("tok", "web")),
		`{"rid":1,"hello":{"access_token":"tok","device_name":"web"}}`, ClientFrame{1, Hello{"tok", "web"}}},
	{"refresh", encodeClient(2, clientv1.ClientBodyRefresh, texts("tok")),
		`{"rid":2,"refresh":{"access_token":"tok"}}`, ClientFrame{2, Refresh{"tok"}}},
	{"join", encodeClient(3, clientv1.ClientBodyJoin, texts("room_plaza")),
		`{"rid":3,"join":{"room_id":"room_plaza"}}`, ClientFrame{3, Join{RoomID: "room_plaza"}}},
	{"leave", encodeClient(4, clientv1.ClientBodyLeave, texts()), `{"rid":4,"leave":{}}`, ClientFrame{4, Leave{}}},
	{"move", encodeClient(0, clientv1.ClientBodyMove, func(b *flatbuffers.Builder) flatbuffers.UOffsetT {
		return move(b, 1.5, 0, -2, []byte{1, 2})
	}), `{"move":{"position":{"x":1.5,"y":0,"z":-2},"yaw":16384,"animation":3,"values":"AQI="}}`,
		ClientFrame{0, Move{frames.Vec3{X: 1.5, Z: -2}, 16384, 3, []byte{1, 2}}}},
	{"chat", encodeClient(6, clientv1.ClientBodyChat, texts("grüß dich", "m1")),
		`{"rid":6,"chat":{"text":"gr\u00fc\u00df dich","client_message_id":"m1"}}`, ClientFrame{6, Chat{"grüß dich", "m1"}}},
	{"whisper", encodeClient(7, clientv1.ClientBodyWhisper, texts("usr_bob", "psst")),
		`{"rid":7,"whisper":{"target_user_id":"usr_bob","text":"psst"}}`, ClientFrame{7, Whisper{"usr_bob", "psst", ""}}},
	{"emote", encodeClient(8, clientv1.ClientBodyEmote, texts("wave", "", "m2")),
		`{"rid":8,"emote":{"emote_id":"wave","client_message_id":"m2"}}`, ClientFrame{8, Emote{"wave", "", "m2"}}},
	{"call", encodeClient(9, clientv1.ClientBodyCall, texts("a.B/C", `{"x": 1}`)),
		`{"rid":9,"call":{"method":"a.B/C","request":{"x": 1}}}`, ClientFrame{9, Call{"a.B/C", []byte(`{"x": 1}`)}}},
	{"ping", encodeClient(10, clientv1.ClientBodyPing, ping), `{"rid":10,"ping":{"client_time_ms":1099511627776}}`,
		ClientFrame{10, Ping{1 << 40}}},
}

func TestBothDialectsSayTheSame(t *testing.T) {
	for _, s := range samples {
		for d, message := range map[Dialect][]byte{FlatBuffers: s.flat, JSON: []byte(s.json)} {
			got, err := d.Decode(message)
			if err != nil {
				t.Errorf("%s in %s: %v", s.name, d, err)
			} else if !reflect.DeepEqual(got, s.want) {
				t.Errorf("%s in %s: %+v", s.name, d, got)
			}
		}
	}
}

func TestTheFrameIsItsOwn(t *testing.T) {
	for _, s := range samples {
		message := append([]byte(nil), s.flat...)
		got, err := FlatBuffers.Decode(message)
		if err != nil {
			t.Fatal(err)
		}
		clear(message)
		if move, ok := got.Body.(Move); ok { // the values of which are a part of the message
			move.Values = s.want.Body.(Move).Values
			got.Body = move
		}
		if !reflect.DeepEqual(got, s.want) {
			t.Errorf("%s refers to its message", s.name)
		}
	}
}

func TestWhatIsNoFrame(t *testing.T) {
	notANumber, endless := float32(math.NaN()), float32(math.Inf(1))
	at := func(x, y, z float32) []byte {
		return encodeClient(1, clientv1.ClientBodyMove, func(b *flatbuffers.Builder) flatbuffers.UOffsetT {
			return move(b, x, y, z, nil)
		})
	}
	tests := map[string]struct {
		d       Dialect
		message []byte
		want    error
		says    string
	}{
		"nothing":             {FlatBuffers, nil, ErrMalformed, "too short"},
		"another version":     {FlatBuffers, append(append([]byte(nil), samples[0].flat[:4]...), append([]byte("WMC9"), samples[0].flat[8:]...)...), ErrMalformed, "version"},
		"no body":             {FlatBuffers, encodeClient(1, 0, texts()), ErrMalformed, "no body"},
		"a newer kind":        {FlatBuffers, encodeClient(1, 200, texts("x")), ErrUnknown, ""},
		"no token":            {FlatBuffers, encodeClient(1, clientv1.ClientBodyHello, texts()), ErrMalformed, "access_token is missing"},
		"no position":         {FlatBuffers, encodeClient(1, clientv1.ClientBodyMove, texts()), ErrMalformed, "position is missing"},
		"nowhere in x":        {FlatBuffers, at(notANumber, 0, 0), ErrMalformed, "not finite"},
		"nowhere in y":        {FlatBuffers, at(0, endless, 0), ErrMalformed, "not finite"},
		"nowhere in z":        {FlatBuffers, at(0, 0, -endless), ErrMalformed, "not finite"},
		"not UTF-8":           {FlatBuffers, encodeClient(1, clientv1.ClientBodyChat, texts("\xff")), ErrMalformed, "UTF-8"},
		"empty text":          {JSON, nil, ErrMalformed, "no JSON"},
		"half an object":      {JSON, []byte(`{"rid":1`), ErrMalformed, "no JSON at byte"},
		"an array":            {JSON, []byte(`[]`), ErrMalformed, ""},
		"null":                {JSON, []byte(`null`), ErrMalformed, "no body"},
		"only a rid":          {JSON, []byte(`{"rid":1}`), ErrMalformed, "no body"},
		"a rid below zero":    {JSON, []byte(`{"rid":-1,"leave":{}}`), ErrMalformed, "rid"},
		"a newer kind, JSON":  {JSON, []byte(`{"rid":1,"dance":{}}`), ErrUnknown, ""},
		"another case":        {JSON, []byte(`{"rid":1,"Chat":{"text":"hi"}}`), ErrUnknown, ""},
		"two bodies":          {JSON, []byte(`{"leave":{},"ping":{}}`), ErrMalformed, "more than one body"},
		"a body of null":      {JSON, []byte(`{"chat":null}`), ErrMalformed, "null"},
		"a wrong type":        {JSON, []byte(`{"chat":{"text":7}}`), ErrMalformed, "text can not be a number"},
		"a body that is none": {JSON, []byte(`{"chat":7}`), ErrMalformed, ""},
		"too far":             {JSON, []byte(`{"move":{"position":{"x":1e39,"y":0,"z":0}}}`), ErrMalformed, "position.x"},
		"no position, JSON":   {JSON, []byte(`{"move":{}}`), ErrMalformed, "position is missing"},
		"no base64":           {JSON, []byte(`{"move":{"position":{"x":1,"y":0,"z":0},"values":"?"}}`), ErrMalformed, ""},
	}
	for name, test := range tests {
		_, err := test.d.Decode(test.message)
		if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Each byte of each sample is changed in many ways: the answer is a frame or an error that the client understands.
func TestForgedFlatBuffersNeverPanic(t *testing.T) {
	for _, s := range samples {
		message := append([]byte(nil), s.flat...)
		for i, was := range message {
			for _, forged := range []byte{0, 1, 3, 4, was + 1, was - 1, was ^ 0x80, 0x7f, 0x80, 0xff} {
				message[i] = forged
				if _, err := FlatBuffers.Decode(message); err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnknown) {
					t.Fatalf("%s with byte %d = %#x: %v", s.name, i, forged, err)
				}
			}
			message[i] = was
			_, _ = FlatBuffers.Decode(message[:i])
		}
	}
}

func FuzzDecodeFlatBuffers(f *testing.F) {
	for _, s := range samples {
		f.Add(s.flat)
	}
	f.Fuzz(func(t *testing.T, message []byte) { checkDecode(t, FlatBuffers, message) })
}

func FuzzDecodeJSON(f *testing.F) {
	for _, s := range samples {
		f.Add([]byte(s.json))
	}
	f.Fuzz(func(t *testing.T, message []byte) { checkDecode(t, JSON, message) })
}

// checkDecode holds what every message must get: a frame with a body, or one of the two errors; the same both times.
func checkDecode(t *testing.T, d Dialect, message []byte) {
	t.Helper()
	frame, err := d.Decode(message)
	switch {
	case err == nil && frame.Body == nil:
		t.Error("neither a body nor an error")
	case err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnknown):
		t.Errorf("an error that is none of ours: %v", err)
	}
	if m, ok := frame.Body.(Move); ok && err == nil {
		for _, place := range []float32{m.Position.X, m.Position.Y, m.Position.Z} {
			if place-place != 0 { // NaN and the infinities
				t.Errorf("a position that is nowhere: %+v", m.Position)
			}
		}
	}
	again, errAgain := d.Decode(message)
	if (err == nil) != (errAgain == nil) || err == nil && !reflect.DeepEqual(frame, again) {
		t.Error("the same message, decoded twice, differs")
	}
}
