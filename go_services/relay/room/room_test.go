package room

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	flatbuffers "github.com/google/flatbuffers/go"
	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
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
	room    *Room
	cfg     Config
	epoch   uint64
	logDown bool
	log     []Entry // what a store would hold
	members map[uint32]Record
	lost    map[uint32]time.Time // as the store knows it
	now     time.Time
	links   map[string]Link
	last    uint32
	number  uint64
	out     strings.Builder
	behind  uint64 // a stream that takes nothing
}

func (s *story) run(t *testing.T, d *datadriven.TestData) string {
	s.out.Reset()
	if d.Cmd == "room" {
		s.open(t, d)
	} else {
		for line := range strings.Lines(d.Input) {
			s.step(t, strings.TrimSpace(line))
			s.write()
		}
	}
	if s.out.Len() == 0 {
		return "nothing\n"
	}
	return s.out.String()
}

func (s *story) open(t *testing.T, d *datadriven.TestData) {
	s.cfg = Config{
		Capacity: 10, Width: 40, Depth: 40, TickHz: 20, MaxSpeed: 8, Spawn: frames.Vec3{X: 20, Z: 20}, Hold: 30 * time.Second,
		Grid: DefaultGrid(),
	}
	if d.HasArg("capacity") {
		d.ScanArgs(t, "capacity", &s.cfg.Capacity)
	}
	if d.HasArg("grid") { // cells of 10 metres, two of them to a frame, with so many members
		s.cfg.Capacity, s.cfg.Width, s.cfg.MaxSpeed = 20, 100, 1000
		s.cfg.Grid = Grid{Cell: 10, Margin: 1, FarTicks: 3, FrameBytes: 80, NearBytes: 60, GoneAtOnce: 4, RosterMembers: 2}
		d.ScanArgs(t, "grid", &s.cfg.Grid.From)
		s.cfg.Grid.Until = s.cfg.Grid.From
	}
	s.now = time.UnixMilli(1_000_000)
	s.epoch, s.log, s.members = 7, nil, map[uint32]Record{}
	s.lost = map[uint32]time.Time{}
	s.room = New("room_test", s.cfg, s, s.now, Past{Epoch: s.epoch, Complete: true})
}

// write logs what waits, as a store does, unless the log is down.
func (s *story) write() {
	if s.logDown {
		return
	}
	for n := s.append(); n > 0; n = s.append() {
		s.room.Logged(n)
	}
}

func (s *story) append() int {
	entries := s.room.TakeUnlogged()
	for _, e := range entries {
		s.log = append(s.log, *e)
		if e.Joined != nil {
			s.members[e.Joined.Entity] = *e.Joined
		}
		delete(s.members, e.Left)
	}
	return len(entries)
}

// move has another relay take the room: what was not logged is lost, and who is in by what the log says.
func (s *story) move(keep int) {
	s.epoch++
	past := Past{Epoch: s.epoch, Complete: true, Tail: s.log, Lost: map[uint32]time.Duration{}}
	for _, news := range s.room.LostNews() {
		if s.lost[news.Entity] = news.Since; news.Since.IsZero() {
			delete(s.lost, news.Entity)
		}
	}
	for entity, since := range s.lost {
		past.Lost[entity] = s.now.Sub(since)
	}
	if len(s.log) > 0 {
		past.Last = s.log[len(s.log)-1].LogPosition
	}
	if keep < len(s.log) {
		past.Tail, past.Complete = s.log[len(s.log)-keep:], false
	}
	for _, entity := range slices.Sorted(maps.Keys(s.members)) {
		past.Members = append(past.Members, s.members[entity])
		past.LastEntity = entity
	}
	s.logDown = false
	s.room = New("room_test", s.cfg, s, s.now, past)
}

// step runs one line: `ann@g1 joins`, `ann says hello`, `500ms pass`, `tick`, `stream g1 ends`, `log down`,
// `log takes it, unheard` (the relay does not learn of it), `another relay`, `stream g2 returns seen=7.3 with ann ben:7.1`
// (ben has seen less than the others of the gateway).
func (s *story) step(t *testing.T, line string) {
	words := strings.Fields(line)
	who := words[0]
	switch {
	case line == "tick":
		s.room.Tick()
	case who == "ticks":
		n, _ := strconv.Atoi(words[1])
		for range n {
			s.room.Tick()
		}
	case line == "log down":
		s.logDown = true
	case line == "log up":
		s.logDown = false
	case line == "log takes it, unheard":
		s.append()
	case line == "log refuses":
		s.room.SetLog(false)
	case line == "log takes":
		s.room.SetLog(true)
	case who == "another":
		keep := len(s.log)
		if len(words) > 2 {
			keep, _ = strconv.Atoi(strings.TrimPrefix(words[2], "tail="))
		}
		s.move(keep)
	case words[len(words)-1] == "pass" || words[len(words)-1] == "passes":
		d, err := time.ParseDuration(who)
		if err != nil {
			t.Fatal(err)
		}
		s.now = s.now.Add(d)
		s.room.Time(s.now)
	case who == "stream" && words[2] == "lags":
		s.behind = streamOf(words[1])
	case who == "stream" && words[2] == "takes":
		s.behind = 0
	case who == "stream" && words[2] == "ends":
		s.room.StreamEnded(s.now, streamOf(words[1]))
	case who == "stream":
		s.returns(t, streamOf(words[1]), words[3], words[5:])
	case words[1] == "joins":
		s.join(who, nil)
	case words[1] == "resumes":
		s.join(who, positionOf(t, words[2]))
	default:
		s.act(t, s.links[who], words)
	}
}

// join lets somebody in by name and stream: `ann@g1`, or `ann#2@g1` for a second connection of ann's.
func (s *story) join(who string, resume *frames.LogPosition) {
	name, stream, _ := strings.Cut(who, "@")
	s.last++
	link := Link{Stream: streamOf(stream), ID: s.last}
	s.links[name] = link
	s.room.Join(s.now, link, s.in(1), joinOf(name, resume))
}

func joinOf(name string, resume *frames.LogPosition) Join {
	user, _, _ := strings.Cut(name, "#")
	return Join{User: frames.User{ID: "usr_" + user, Username: user}, Session: name, Resume: resume}
}

// returns has a gateway attach anew, with members who were in by it.
func (s *story) returns(t *testing.T, stream uint64, seen string, names []string) {
	var rejoins []Rejoin
	for _, name := range names {
		name, behind, isBehind := strings.Cut(name, ":")
		var resume *frames.LogPosition
		if isBehind {
			resume = positionOf(t, behind)
		}
		link := Link{Stream: stream, ID: s.links[name].ID}
		s.links[name] = link
		state := &frames.EntityState{Position: frames.Vec3{X: 21, Z: 21}}
		rejoins = append(rejoins, Rejoin{Link: link.ID, Join: joinOf(name, resume), State: state})
	}
	s.room.Attached(stream, positionOf(t, strings.TrimPrefix(seen, "seen=")), rejoins)
}

func (s *story) in(rid uint32) In {
	s.number++
	return In{RID: rid, Number: s.number}
}

func positionOf(t *testing.T, text string) *frames.LogPosition {
	t.Helper()
	var p frames.LogPosition
	parts := strings.Split(text, ".")
	numbers := make([]uint64, 3)
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		numbers[i] = n
	}
	p.Epoch, p.Seq, p.Sub = numbers[0], numbers[1], uint32(numbers[2])
	return &p
}

func positionText(p frames.LogPosition) string {
	if p.Sub != 0 {
		return fmt.Sprintf("%d.%d.%d", p.Epoch, p.Seq, p.Sub)
	}
	return fmt.Sprintf("%d.%d", p.Epoch, p.Seq)
}

func (s *story) act(t *testing.T, link Link, words []string) {
	rest := strings.Join(words[2:], " ")
	switch words[1] {
	case "leaves":
		s.room.Leave(s.now, link, s.in(2), words[0])
	case "detaches":
		s.room.Detach(s.now, link, s.in(0), words[0])
	case "says":
		text, id, _ := strings.Cut(rest, " id=")
		s.room.Chat(s.now, link, s.in(3), text, id)
	case "repeats": // an input that the gateway repeats: `ann repeats 5 hello`
		number, _ := strconv.ParseUint(words[2], 10, 64)
		s.room.Chat(s.now, link, In{RID: 3, Number: number}, strings.Join(words[3:], " "), "")
	case "whispers":
		s.room.Whisper(s.now, link, s.in(4), "usr_"+words[2], strings.Join(words[3:], " "), "")
	case "emotes":
		target := ""
		if len(words) > 3 {
			target = "usr_" + words[3]
		}
		s.room.Emote(s.now, link, s.in(5), words[2], target, "")
	case "walks":
		x, _ := strconv.ParseFloat(words[2], 32)
		z, _ := strconv.ParseFloat(words[3], 32)
		s.room.Move(s.now, link, In{}, Move{Position: frames.Vec3{X: float32(x), Z: float32(z)}, Yaw: 1})
	case "looks":
		s.room.Look(link, true, false, 0)
	case "reads": // `ann reads 2`: the roster after an entity
		after, _ := strconv.ParseUint(words[2], 10, 32)
		s.room.Look(link, false, true, uint32(after))
	case "syncs":
		s.room.Move(s.now, link, In{}, Move{Position: s.room.byLink[link].state.Position, Values: []byte(rest)})
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

// all names those of the members who hear what is for all, in order; of one stream, if it is not 0.
func (s *story) all(stream uint64) string {
	var names []string
	for _, m := range s.room.shown {
		if m.link != (Link{}) && (stream == 0 || m.link.Stream == stream) {
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

func (s *story) Joined(to Link, _ In, snap frames.Snapshot) {
	var names []string
	for _, m := range snap.Members {
		names = append(names, fmt.Sprintf("%s=%d", m.User.Username, m.State.Entity))
	}
	how := ""
	if snap.Resumed {
		how += " resumed"
	}
	if snap.Gap {
		how += " gap"
	}
	if snap.ViewRadius > 0 {
		how += fmt.Sprintf(" sees %g m", snap.ViewRadius)
	}
	s.printf("-> %s: snapshot at %s self=%d members=%s%s",
		s.name(to), positionText(snap.LogPosition), snap.SelfEntity, strings.Join(names, ","), how)
}

func (s *story) Refused(to Link, _ In, reason commonv1.ErrorReason, message string) {
	s.printf("-> %s: refused %s (%s)", s.name(to), reasonText(reason), message)
}

func (s *story) Removed(to Link, _ In, reason commonv1.ErrorReason) {
	s.printf("-> %s: removed %s", s.name(to), reasonText(reason))
}

func (s *story) Event(e *Entry) {
	s.printf("-> %s: event %s %s", s.all(0), positionText(e.LogPosition), entryText(e))
}

func (s *story) Again(e *Entry, stream uint64) {
	s.printf("-> %s: missed event %s %s", s.all(stream), positionText(e.LogPosition), entryText(e))
}

func (s *story) Told(e *Entry, to ...Link) {
	for _, link := range to {
		s.printf("-> %s: told %s %s", s.name(link), positionText(e.LogPosition), entryText(e))
	}
}

func (s *story) Done(to Link, in In) { s.printf("-> %s: ok", s.name(to)) }

func (s *story) Failed(to Link, _ In, reason commonv1.ErrorReason, message string) {
	s.printf("-> %s: error %s (%s)", s.name(to), reasonText(reason), message)
}

func (s *story) Corrected(to Link, state frames.EntityState) {
	s.printf("-> %s: corrected to %s", s.name(to), stateText(state))
}

func (s *story) State(b frames.StateBatch) {
	s.printf("-> %s: tick %d %s", s.all(0), b.Tick, batchText(b))
}

func (s *story) View(stream uint64, links []uint32, b frames.StateBatch) {
	s.printf("-> %s: tick %d sees %s", s.namesOf(stream, links), b.Tick, batchText(b))
}

func (s *story) Roster(stream uint64, links []uint32, roster frames.Roster) {
	var names []string
	for _, m := range roster.Members {
		names = append(names, fmt.Sprintf("%s=%d", m.User.Username, m.State.Entity))
	}
	last := ""
	if roster.Last {
		last = " last"
	}
	s.printf("-> %s: roster %s%s", s.namesOf(stream, links), strings.Join(names, ","), last)
}

func (s *story) Behind(stream uint64) bool { return s.behind == stream }

func (s *story) namesOf(stream uint64, links []uint32) string {
	var names []string
	for _, link := range links {
		names = append(names, s.name(Link{Stream: stream, ID: link}))
	}
	sort.Strings(names)
	return strings.Join(names, ",")
}

func batchText(b frames.StateBatch) string {
	var parts []string
	if b.Anew {
		parts = append(parts, "anew")
	}
	for _, entity := range b.Gone {
		parts = append(parts, fmt.Sprintf("%d gone", entity))
	}
	for _, st := range b.States {
		parts = append(parts, stateText(st))
	}
	for _, v := range b.Values {
		parts = append(parts, fmt.Sprintf("%d syncs %s", v.Entity, v.Values))
	}
	return strings.Join(parts, "; ")
}

func stateText(s frames.EntityState) string {
	return fmt.Sprintf("%d at (%g,%g)", s.Entity, s.Position.X, s.Position.Z)
}

// entryText is the event in an entry's frame.
func entryText(e *Entry) string {
	var body, table flatbuffers.Table
	clientv1.GetRootAsServerFrame(e.Frame, 0).Body(&body)
	var event clientv1.RoomEvent
	event.Init(body.Bytes, body.Pos)
	event.Body(&table)
	switch event.BodyType() {
	case clientv1.EventBodyMemberJoined:
		var m clientv1.MemberJoined
		m.Init(table.Bytes, table.Pos)
		sight := ""
		if m.OutOfSight() {
			sight = " out of sight"
		}
		return fmt.Sprintf("joined %s=%d%s", m.Member(nil).User(nil).Username(), m.Member(nil).State(nil).Entity(), sight)
	case clientv1.EventBodyMemberLeft:
		var m clientv1.MemberLeft
		m.Init(table.Bytes, table.Pos)
		return fmt.Sprintf("left %d %s", m.Entity(), m.UserId())
	case clientv1.EventBodyChatMessage:
		var m clientv1.ChatMessage
		m.Init(table.Bytes, table.Pos)
		return fmt.Sprintf("%s says %q", m.Sender(nil).Username(), m.Text())
	case clientv1.EventBodyWhisperMessage:
		var m clientv1.WhisperMessage
		m.Init(table.Bytes, table.Pos)
		return fmt.Sprintf("%s whispers %q to %s", m.Sender(nil).Username(), m.Text(), m.TargetUserId())
	case clientv1.EventBodyEmoteMessage:
		var m clientv1.EmoteMessage
		m.Init(table.Bytes, table.Pos)
		return fmt.Sprintf("%s emotes %s %s", m.Sender(nil).Username(), m.EmoteId(), m.TargetUserId())
	default:
		return event.BodyType().String()
	}
}
