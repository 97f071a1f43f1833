package shard

import (
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// The stories in testdata say what a shard does. `go test ./go_services/presence/shard -rewrite` renews what it answers.
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var s *story
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "shard" {
				s = newStory()
				return "empty\n"
			}
			for line := range strings.Lines(d.Input) {
				s.step(t, strings.Fields(line))
			}
			return s.told()
		})
	})
}

type story struct {
	shard   *Shard
	now     time.Time
	changed []string
}

func newStory() *story {
	s := &story{now: time.UnixMilli(0)}
	s.shard = New(8*time.Second, func(user string) { s.changed = append(s.changed, user) })
	return s
}

// step runs one line: `g1.1 attaches 7` (incarnation 1, stream 7), `g1 on 7 says ann:s1@plaza ben:s2 -cat:s3`,
// `g1 on 7 has …` (a snapshot), `g1 loses 7`, `5s passes`.
func (s *story) step(t *testing.T, w []string) {
	switch {
	case w[1] == "attaches":
		name, incarnation, _ := strings.Cut(w[0], ".")
		s.shard.Attach(s.now, name, incarnation, number(w[2]))
	case w[1] == "loses":
		s.shard.Detach(s.now, w[0], number(w[2]))
	case w[1] == "passes":
		d, err := time.ParseDuration(w[0])
		if err != nil {
			t.Fatal(err)
		}
		s.now = s.now.Add(d)
		s.shard.Expire(s.now)
	case w[3] == "says":
		s.shard.Apply(s.now, w[0], number(w[2]), changes(w[4:]))
	case w[3] == "has":
		s.shard.Snapshot(s.now, w[0], number(w[2]), changes(w[4:]))
	default:
		t.Fatalf("no such step: %v", w)
	}
}

func number(text string) (n uint64) {
	_, _ = fmt.Sscan(text, &n)
	return n
}

func changes(words []string) []Change {
	var all []Change
	for _, word := range words {
		gone := strings.HasPrefix(word, "-")
		user, rest, _ := strings.Cut(strings.TrimPrefix(word, "-"), ":")
		session, room, _ := strings.Cut(rest, "@")
		all = append(all, Change{UserID: user, Gone: gone, Device: Device{SessionID: session, RoomID: room}})
	}
	return all
}

// told is who changed, in order of names, and how they are now.
func (s *story) told() string {
	if len(s.changed) == 0 {
		return "nothing\n"
	}
	sort.Strings(s.changed)
	var out strings.Builder
	for _, user := range s.changed {
		p := s.shard.Get(user)
		fmt.Fprintf(&out, "-> %s online=%t", user, p.Online())
		for _, d := range p.Devices {
			fmt.Fprintf(&out, " %s@%s", d.SessionID, d.RoomID)
		}
		out.WriteString("\n")
	}
	fmt.Fprintf(&out, "users=%d sessions=%d\n", s.shard.Users(), s.shard.Sessions())
	s.changed = nil
	return out.String()
}
