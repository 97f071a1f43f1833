package room

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

// The stories in testdata say what a room does. `go test ./go_services/relay/room -rewrite` renews what it answers.
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		story := &story{links: map[string]Link{}}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return story.run(t, d)
		})
	})
}

type story struct {
	room  *Room
	now   time.Time
	links map[string]Link
	last  uint32
	out   strings.Builder
}

func (s *story) run(t *testing.T, d *datadriven.TestData) string {
	s.out.Reset()
	if d.Cmd == "room" {
		s.open(t, d)
	} else {
		for line := range strings.Lines(d.Input) {
			s.step(t, strings.TrimSpace(line))
		}
	}
	if s.out.Len() == 0 {
		return "nothing\n"
	}
	return s.out.String()
}

func (s *story) open(t *testing.T, d *datadriven.TestData) {
	cfg := Config{Capacity: 10, Width: 40, Depth: 40, TickHz: 20, MaxSpeed: 8, Spawn: frames.Vec3{X: 20, Z: 20}}
	if d.HasArg("capacity") {
		d.ScanArgs(t, "capacity", &cfg.Capacity)
	}
	s.now = time.UnixMilli(1_000_000)
	s.room = New("room_test", 7, cfg, s)
}

// step runs one line: `ann@g1 joins`, `ann says hello`, `500ms pass`, `tick`, `stream g1 ends`.
func (s *story) step(t *testing.T, line string) {
	words := strings.Fields(line)
	who := words[0]
	switch {
	case line == "tick":
		s.room.Tick()
	case words[len(words)-1] == "pass" || words[len(words)-1] == "passes":
		d, err := time.ParseDuration(who)
		if err != nil {
			t.Fatal(err)
		}
		s.now = s.now.Add(d)
	case who == "stream":
		s.room.StreamEnded(s.now, streamOf(words[1]))
	case words[1] == "joins":
		s.join(who)
	default:
		s.act(t, s.links[who], words)
	}
}

// join lets somebody in by name and stream: `ann@g1`, or `ann#2@g1` for a second connection of ann's.
func (s *story) join(who string) {
	name, stream, _ := strings.Cut(who, "@")
	user, _, _ := strings.Cut(name, "#")
	s.last++
	link := Link{Stream: streamOf(stream), ID: s.last}
	s.links[name] = link
	s.room.Join(s.now, link, 1, Join{User: frames.User{ID: "usr_" + user, Username: user}, Session: name})
}

func (s *story) act(t *testing.T, link Link, words []string) {
	rest := strings.Join(words[2:], " ")
	switch words[1] {
	case "leaves":
		s.room.Leave(s.now, link, 2)
	case "says":
		text, id, _ := strings.Cut(rest, " id=")
		s.room.Chat(s.now, link, 3, text, id)
	case "whispers":
		s.room.Whisper(s.now, link, 4, "usr_"+words[2], strings.Join(words[3:], " "), "")
	case "emotes":
		target := ""
		if len(words) > 3 {
			target = "usr_" + words[3]
		}
		s.room.Emote(s.now, link, 5, words[2], target, "")
	case "walks":
		x, _ := strconv.ParseFloat(words[2], 32)
		z, _ := strconv.ParseFloat(words[3], 32)
		s.room.Move(s.now, link, 0, Move{Position: frames.Vec3{X: float32(x), Z: float32(z)}, Yaw: 1})
	case "syncs":
		s.room.Move(s.now, link, 0, Move{Position: s.room.byLink[link].state.Position, Values: []byte(rest)})
	default:
		t.Fatalf("no such step: %v", words)
	}
}

func streamOf(name string) uint64 {
	n, _ := strconv.ParseUint(strings.TrimPrefix(name, "g"), 10, 64)
	return n
}

func (s *story) name(link Link) string {
	for name, l := range s.links {
		if l == link {
			return name
		}
	}
	return fmt.Sprint(link)
}

// all names the members but one, in order.
func (s *story) all(except Link) string {
	var names []string
	for _, m := range s.room.members {
		if m.link != except {
			names = append(names, s.name(m.link))
		}
	}
	sort.Strings(names)
	return strings.Join(names, ",")
}

func (s *story) printf(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

func reasonText(r commonv1.ErrorReason) string {
	return strings.TrimPrefix(r.String(), "ERROR_REASON_")
}

func (s *story) Joined(to Link, rid uint32, snap frames.Snapshot) {
	var names []string
	for _, m := range snap.Members {
		names = append(names, fmt.Sprintf("%s=%d", m.User.Username, m.State.Entity))
	}
	s.printf("-> %s: snapshot seq=%d self=%d members=%s", s.name(to), snap.Seq, snap.SelfEntity, strings.Join(names, ","))
}

func (s *story) Refused(to Link, rid uint32, reason commonv1.ErrorReason, message string) {
	s.printf("-> %s: refused %s (%s)", s.name(to), reasonText(reason), message)
}

func (s *story) Removed(to Link, rid uint32, reason commonv1.ErrorReason) {
	s.printf("-> %s: removed %s", s.name(to), reasonText(reason))
}

func (s *story) Event(e frames.Event, except Link) {
	s.printf("-> %s: event %d.%d %s", s.all(except), e.Epoch, e.Seq, eventText(e.Body))
}

func (s *story) Whisper(e frames.Event, from, to Link) {
	s.printf("-> %s,%s: event %d.%d %s", s.name(from), s.name(to), e.Epoch, e.Seq, eventText(e.Body))
}

func (s *story) Done(to Link, rid uint32) { s.printf("-> %s: ok", s.name(to)) }

func (s *story) Failed(to Link, rid uint32, reason commonv1.ErrorReason, message string) {
	s.printf("-> %s: error %s (%s)", s.name(to), reasonText(reason), message)
}

func (s *story) Corrected(to Link, state frames.EntityState) {
	s.printf("-> %s: corrected to %s", s.name(to), stateText(state))
}

func (s *story) State(tick uint64, states []frames.EntityState, values []frames.EntityValues) {
	var parts []string
	for _, st := range states {
		parts = append(parts, stateText(st))
	}
	for _, v := range values {
		parts = append(parts, fmt.Sprintf("%d syncs %s", v.Entity, v.Values))
	}
	s.printf("-> %s: tick %d %s", s.all(Link{}), tick, strings.Join(parts, "; "))
}

func stateText(s frames.EntityState) string {
	return fmt.Sprintf("%d at (%g,%g)", s.Entity, s.Position.X, s.Position.Z)
}

func eventText(body frames.EventBody) string {
	switch m := body.(type) {
	case frames.MemberJoined:
		return fmt.Sprintf("joined %s=%d", m.Member.User.Username, m.Member.State.Entity)
	case frames.MemberLeft:
		return fmt.Sprintf("left %d %s", m.Entity, m.UserID)
	case frames.ChatMessage:
		return fmt.Sprintf("%s says %q", m.Sender.Username, m.Text)
	case frames.WhisperMessage:
		return fmt.Sprintf("%s whispers %q to %s", m.Sender.Username, m.Text, m.TargetUserID)
	case frames.EmoteMessage:
		return fmt.Sprintf("%s emotes %s %s", m.Sender.Username, m.EmoteID, m.TargetUserID)
	default:
		return fmt.Sprintf("%T", body)
	}
}
