package session

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

// The stories in testdata say what a session does. `go test ./go_services/gateway/session -rewrite` renews what it
// answers.
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := &story{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "socket" {
				s.now = time.UnixMilli(1_000_000)
				limits := DefaultLimits()
				limits.Heartbeat = 15 * time.Second // so that stories need not ping all the time
				s.session = New("gws_1", limits, s.now)
				return "open\n"
			}
			var out strings.Builder
			for line := range strings.Lines(d.Input) {
				s.step(t, &out, strings.TrimSpace(line))
			}
			if out.Len() == 0 {
				return "nothing\n"
			}
			return out.String()
		})
	})
}

type story struct {
	session *Session
	now     time.Time
}

func (s *story) step(t *testing.T, out *strings.Builder, line string) {
	words := strings.Fields(line)
	var actions []Action
	switch words[0] {
	case "client":
		actions = s.client(t, words[1:])
	case "token":
		actions = s.session.TokenChecked(s.now, 1, tokenOf(words, s.now), reasonOf(words))
	case "entry":
		actions = s.session.EntryRefused(frames.Error{Reason: words[2], Code: 5})
	case "relay":
		actions = map[string]func() []Action{
			"joined": s.session.Joined, "refused": s.session.Refused, "removed": s.session.Removed, "lost": s.session.RoomLost,
		}[words[1]]()
	case "call":
		s.session.CallDone()
	case "identity":
		actions = s.session.Revoked()
	case "gateway":
		actions = map[string]func() []Action{"drains": s.session.Drain, "cannot": s.session.TooSlow}[words[1]]()
	case "socket":
		actions = s.session.Closed(len(words) > 1 && words[1] == "says")
	default:
		d, err := time.ParseDuration(words[0])
		if err != nil {
			t.Fatalf("no such step: %s", line)
		}
		s.now = s.now.Add(d)
		actions = s.session.Time(s.now)
	}
	for _, a := range actions {
		if enter, ok := a.(Enter); ok && enter.Resume != nil {
			fmt.Fprintf(out, "-> Enter{RID:%d RoomID:%s Resume:%+v}\n", enter.RID, enter.RoomID, *enter.Resume)
			continue
		}
		if _, ok := a.(Forward); ok {
			fmt.Fprintf(out, "-> Forward of %s\n", strings.Join(words[1:], " "))
			continue
		}
		fmt.Fprintf(out, "-> %s\n", strings.TrimPrefix(fmt.Sprintf("%T%+v", a, a), "session."))
	}
}

// client sends a frame: `hello`, `join plaza`, `chat hi`, `garbage`, `unknown`, `oversized chat`, or many of them.
func (s *story) client(t *testing.T, words []string) []Action {
	rest := strings.Join(words[1:], " ")
	bodies := map[string]dialect.ClientBody{
		"hello": dialect.Hello{AccessToken: "tok", DeviceName: "web"}, "refresh": dialect.Refresh{AccessToken: "tok2"},
		"join": dialect.Join{RoomID: rest}, "leave": dialect.Leave{}, "chat": dialect.Chat{Text: rest},
		"ping": dialect.Ping{ClientTimeMS: 5}, "call": dialect.Call{Method: rest}, "move": dialect.Move{},
		"whisper": dialect.Whisper{TargetUserID: "usr_bob", Text: rest}, "emote": dialect.Emote{EmoteID: rest},
	}
	switch words[0] {
	case "resume":
		resume := &dialect.Position{Epoch: 7, Seq: 3}
		return s.session.Frame(s.now, dialect.ClientFrame{RID: 2, Body: dialect.Join{RoomID: rest, Resume: resume}}, 20)
	case "garbage":
		return s.session.BadFrame(s.now, 0, 20, fmt.Errorf("%w: no JSON", dialect.ErrMalformed))
	case "unknown":
		return s.session.BadFrame(s.now, 9, 20, dialect.ErrUnknown)
	case "oversized":
		return s.session.Frame(s.now, dialect.ClientFrame{RID: 2, Body: bodies[words[1]]}, MaxControl+1)
	case "sends":
		return s.many(t, words[1:])
	}
	body, ok := bodies[words[0]]
	if !ok {
		t.Fatalf("no such frame: %v", words)
	}
	rid := uint32(2)
	if words[0] == "move" {
		rid = 0
	}
	return s.session.Frame(s.now, dialect.ClientFrame{RID: rid, Body: body}, 20)
}

// many sends a number of pings of a size, a time apart: `pings 400 of 20 bytes, 1ms apart`; it tells what came of the
// first, the first that was refused, and the last.
func (s *story) many(t *testing.T, words []string) []Action {
	t.Helper()
	var n, size int
	var apart string
	if _, err := fmt.Sscanf(strings.Join(words, " "), "pings %d of %d bytes %s", &n, &size, &apart); err != nil {
		t.Fatal(err)
	}
	pause, err := time.ParseDuration(apart)
	if err != nil {
		t.Fatal(err)
	}
	var first, refused, last []Action
	for i := range n {
		actions := s.session.Frame(s.now, dialect.ClientFrame{RID: uint32(i + 1), Body: dialect.Ping{}}, size)
		s.now = s.now.Add(pause)
		if i == 0 {
			first = actions
		}
		if len(actions) == 0 {
			continue // the session is over
		}
		if _, pong := actions[0].(Pong); !pong && refused == nil {
			refused = actions
		}
		last = actions
	}
	if refused == nil {
		return append(first, last...)
	}
	return append(append(first, refused...), last...)
}

func tokenOf(words []string, now time.Time) Token {
	token := Token{User: User{User: frames.User{ID: "usr_ann", Username: "ann"}, SessionID: "ses_1", Scopes: []string{"client"}}, Expires: now.Add(time.Minute)}
	switch {
	case len(words) > 2 && words[1] == "of":
		token.User.SessionID = words[2]
	case words[1] == "without":
		token.User.Scopes = nil
	}
	return token
}

func reasonOf(words []string) commonv1.ErrorReason {
	if words[1] != "refused" {
		return 0
	}
	return commonv1.ErrorReason(commonv1.ErrorReason_value["ERROR_REASON_"+words[2]])
}
