package shard

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// The stories in testdata say what a shard does. `go test ./go_services/presence/shard -rewrite` renews what it answers.
// Somebody watches ann, ben and cat, and tells after each step what is new.
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var s *story
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "shard" {
				s = newStory(t, d)
				return s.told()
			}
			for line := range strings.Lines(d.Input) {
				s.step(t, strings.Fields(line))
			}
			return s.told()
		})
	})
}

type story struct {
	shard *Shard
	watch *Watch
	now   time.Time
}

// newStory is a shard that begins: `shard` knows that nobody is online, `shard settle=5s` does not know it yet.
func newStory(t *testing.T, d *datadriven.TestData) *story {
	s := &story{now: time.UnixMilli(0)}
	var settle string
	d.MaybeScanArgs(t, "settle", &settle)
	s.shard = New(s.now, Config{Lease: 8 * time.Second, Settle: duration(t, cmp.Or(settle, "0s"))})
	s.watch = s.shard.Watch([]string{"ann", "ben", "cat"}, func() {})
	s.shard.Expire(s.now)
	return s
}

func duration(t *testing.T, text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// step runs one line: `g1.1 attaches 7` (incarnation 1, stream 7), `g1 on 7 says ann:s1@plaza ben:s2 -cat:s3`,
// `g1 on 7 has …` (all that it has), `g1 loses 7`, `5s passes`.
func (s *story) step(t *testing.T, w []string) {
	switch {
	case w[1] == "attaches":
		name, incarnation, _ := strings.Cut(w[0], ".")
		s.shard.Attach(s.now, name, incarnation, number(w[2]))
	case w[1] == "loses":
		s.shard.Detach(s.now, w[0], number(w[2]))
	case w[1] == "passes":
		s.now = s.now.Add(duration(t, w[0]))
		s.shard.Expire(s.now)
	case w[3] == "says":
		s.shard.Apply(s.now, w[0], number(w[2]), changes(w[4:]))
	case w[3] == "has":
		s.shard.Apply(s.now, w[0], number(w[2]), changes(w[4:]))
		s.shard.Complete(w[0], number(w[2]))
	default:
		t.Fatalf("no such step: %v", w)
	}
	for s.shard.Sweep(1) {
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
	news := s.shard.Take(s.watch)
	if len(news) == 0 {
		return "nothing\n"
	}
	slices.SortFunc(news, func(a, b Presence) int { return cmp.Compare(a.UserID, b.UserID) })
	var out strings.Builder
	for _, p := range news {
		if p.Unknown {
			fmt.Fprintf(&out, "-> %s unknown\n", p.UserID)
			continue
		}
		fmt.Fprintf(&out, "-> %s online=%t", p.UserID, p.Online())
		for _, d := range p.Devices {
			fmt.Fprintf(&out, " %s@%s", d.SessionID, d.RoomID)
		}
		out.WriteString("\n")
	}
	fmt.Fprintf(&out, "users=%d sessions=%d\n", s.shard.Users(), s.shard.Sessions())
	return out.String()
}
