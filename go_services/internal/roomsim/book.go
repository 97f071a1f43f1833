package roomsim

import (
	"slices"

	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/relay/room"
)

// book is what was logged, as somebody knows it who sees all that the store does: what each client hears is held against
// it. It means nothing any more once something may have been lost (World.lost).
type book struct{ entries []*room.Entry }

// before compares places; epochs do not count, for numbers go on from one to the next.
func before(p, q frames.LogPosition) bool { return p.Seq < q.Seq || p.Seq == q.Seq && p.Sub < q.Sub }

// wrote takes note of an append that the store has done.
func (b *book) wrote(w *World, entries []*room.Entry) {
	for _, e := range entries {
		if n := len(b.entries); n > 0 && !before(b.entries[n-1].LogPosition, e.LogPosition) {
			b.compare(w, e)
			continue
		}
		b.entries = append(b.entries, e)
		if e.Left != 0 && e.Key == "" {
			w.checkPutOut(e)
		}
	}
}

// compare looks at an entry that was logged before.
func (b *book) compare(w *World, e *room.Entry) {
	for _, old := range b.entries {
		if old.Seq == e.Seq && old.Sub == e.Sub && !same(old, e) {
			w.fail("%v is logged over %v, and is another", e.LogPosition, old.LogPosition)
		}
	}
}

func same(a, b *room.Entry) bool {
	return a.Author == b.Author && a.Key == b.Key && a.Left == b.Left && slices.Equal(a.Frame, b.Frame)
}

// cut forgets what follows a place: nobody has heard of it.
func (b *book) cut(last frames.LogPosition) {
	b.entries = slices.DeleteFunc(b.entries, func(e *room.Entry) bool { return before(last, e.LogPosition) })
}

// after is what a user is to hear after a place.
func (b *book) after(p frames.LogPosition, user string) []*room.Entry {
	var all []*room.Entry
	for _, e := range b.entries {
		mine := len(e.To) == 0 || slices.Contains(e.To, user)
		if before(p, e.LogPosition) && len(e.Frame) > 0 && mine {
			all = append(all, e)
		}
	}
	return all
}

// enteredAfter says whether a user came in after a place.
func (b *book) enteredAfter(p frames.LogPosition, user string) bool {
	return slices.ContainsFunc(b.entries, func(e *room.Entry) bool {
		return before(p, e.LogPosition) && e.Joined != nil && len(e.Frame) > 0 && e.Author == user
	})
}

// inside says whether a session's member is in.
func (b *book) inside(session string) bool {
	in := map[uint32]string{}
	for _, e := range b.entries {
		if e.Joined != nil {
			in[e.Joined.Entity] = e.Joined.Session
		}
		delete(in, e.Left)
	}
	for _, other := range in {
		if other == session {
			return true
		}
	}
	return false
}

// check looks whether everybody leaves once, and everything is said once.
func (b *book) check(w *World) {
	in, said := map[uint32]bool{}, map[string]bool{}
	for _, e := range b.entries {
		switch {
		case e.Joined != nil && len(e.Frame) > 0:
			if in[e.Joined.Entity] {
				w.fail("entity %d enters twice", e.Joined.Entity)
			}
			in[e.Joined.Entity] = true
		case e.Left != 0:
			if !in[e.Left] {
				w.fail("entity %d leaves twice", e.Left)
			}
			delete(in, e.Left)
		case e.Joined == nil:
			text := read(e.Frame).text
			if said[text] && !w.trimmed { // the log is what tells a relay that takes the room of repeats
				w.fail("%q is in the log twice", text)
			}
			said[text] = true
		}
	}
	for _, c := range w.clients {
		for _, text := range c.acked {
			if !said[text] {
				w.fail("%q was answered, and is not in the log", text)
			}
		}
	}
}
