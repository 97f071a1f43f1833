package room

import (
	"slices"
	"time"

	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

// Bounds of a room's log, in memory and in the store: older entries go when a newer one comes.
const (
	// MaxEntries bounds how many entries a log holds.
	MaxEntries = 4096
	// FewEntries is how many it holds though they be old. More stay only while they are young: of who comes back within a hold
	// of up to a minute, at another relay, too, repeats are to be known.
	FewEntries = 512
	// YoungMS is how much older than the newest entry a young one may be, in milliseconds.
	YoungMS = 60 * 1000
	// MaxAgeMS bounds how much older than the newest entry an entry may be, in milliseconds.
	MaxAgeMS = 10 * 60 * 1000
	// maxMissed bounds what who comes back is told of what was said meanwhile, in bytes: a gateway lets twice as much wait for
	// a client. Past it there is a gap.
	maxMissed = 128 << 10
	// maxUnlogged bounds the entries that wait to be logged; past it nothing ordered is taken.
	maxUnlogged = 4096
)

// Entry is one event of a room's ordered channel, as it is logged.
type Entry struct {
	frames.LogPosition
	// After is the Sub of the entry before it: how many whispers an event follows. The log's own, and not kept in it.
	After  uint32
	TimeMS uint64
	// Author is the user by whose input it came, or empty.
	Author string
	// Key tells a repeat of the author's input from another; empty if it has none.
	Key string
	// To holds the users who alone receive it; empty for all.
	To []string
	// Frame is the encoded ServerFrame; empty for what only relays must know.
	Frame []byte
	// Joined is the member that came in by it, or that changed; or nil.
	Joined *Record
	// Left is the entity that went by it, or 0.
	Left uint32
}

// isFor says whether a user receives the entry.
func (e *Entry) isFor(userID string) bool {
	return len(e.Frame) > 0 && (len(e.To) == 0 || slices.Contains(e.To, userID))
}

// enters says whether an entity came in by the entry.
func (e *Entry) enters(entity uint32) bool {
	return e.Joined != nil && e.Joined.Entity == entity && len(e.Frame) > 0
}

// Record is a member as far as it must be known after the loss of its relay.
type Record struct {
	Entity uint32
	User   frames.User
	// Session is the gateway's session that it is in by.
	Session string
	// Role is worldmesh.world.v1.RoomRole's number.
	Role    int32
	SinceMS uint64
}

// Past is what is known of a room that goes live.
type Past struct {
	// Epoch is its new one.
	Epoch uint64
	// Last is the place of the newest entry that was ever logged.
	Last frames.LogPosition
	// LastEntity is the greatest entity that was ever given out.
	LastEntity uint32
	Members    []Record
	// Lost says for how long members have had no connection, by their entities; of those who are not in it nothing is known.
	Lost map[uint32]time.Duration
	// Tail is the log, oldest first; Complete says that it begins with the room's first entry.
	Tail     []Entry
	Complete bool
}

// held is an output that must wait until so many entries are logged.
type held struct {
	output
	entries uint64
	do      func()
}

// output tells what is held from another.
type output struct {
	kind outputKind
	to   Link
	in   In
}

type outputKind int

const (
	entryOut outputKind = iota
	joinedOut
	reboundOut
	removedOut
	replacedOut
	doneOut
)

// emit does what comes after all that was published: at once if that is logged.
func (r *Room) emit(o output, do func()) {
	if len(r.held) == 0 && r.logged == r.published {
		do()
		return
	}
	r.held = append(r.held, held{o, r.published, do})
}

// TakeUnlogged hands out the entries that must be logged next, in order. Logged is to follow for each.
func (r *Room) TakeUnlogged() []*Entry {
	taken := r.unlogged
	r.unlogged = nil
	return taken
}

// Logged takes the news that the next n of the entries that were handed out are in the log: what waited for them goes
// out.
func (r *Room) Logged(n int) {
	r.logged += uint64(n)
	done := 0
	for done < len(r.held) && r.held[done].entries <= r.logged {
		do := r.held[done].do
		r.held[done].do = nil
		done++
		do()
	}
	r.held = r.held[done:]
	if len(r.held) == 0 {
		r.held = nil
	}
}

// Waiting is how many entries are not logged.
func (r *Room) Waiting() int { return int(r.published - r.logged) }

// SetLog says whether the log can be written to; while it can't, nothing ordered is taken.
func (r *Room) SetLog(works bool) { r.logBroken = !works }

// LogWorks says whether the log can be written to.
func (r *Room) LogWorks() bool { return !r.logBroken }

func (r *Room) takesOrdered() bool { return !r.logBroken && r.Waiting() < maxUnlogged }

// Surplus says whether the oldest of so many entries goes from a log. The times are those of the oldest and of the newest, in
// milliseconds.
func Surplus(entries int, oldest, newest uint64) bool {
	return entries > MaxEntries || entries > FewEntries && oldest+YoungMS < newest || oldest+MaxAgeMS < newest
}

// keep adds a logged entry to the tail.
func (r *Room) keep(e *Entry) {
	r.tail = append(r.tail, e)
	drop := 0
	for Surplus(len(r.tail)-drop, r.tail[drop].TimeMS, e.TimeMS) {
		drop++
	}
	if drop == 0 {
		return
	}
	r.floor = r.tail[drop-1].LogPosition
	clear(r.tail[:drop])
	r.tail = r.tail[drop:]
}

// since is the tail after a position; false if that is not in the room's history, or so far back that the tail does not
// reach it, or that there is more than anybody is told. What was logged under the same number in another epoch is of
// another history: the store has lost it.
func (r *Room) since(p frames.LogPosition) (tail []*Entry, reaches bool) {
	bytes := 0
	for i, e := range slices.Backward(r.tail) {
		if e.Seq == p.Seq && e.Sub == p.Sub {
			return r.tail[i+1:], e.Epoch == p.Epoch
		}
		if bytes += len(e.Frame); bytes > maxMissed {
			return nil, false
		}
	}
	return r.tail, p == r.floor
}

// number gives an entry its place: the next number, or a sub-number after the newest.
func (r *Room) number(public bool) frames.LogPosition {
	if public {
		r.last = frames.LogPosition{Epoch: r.epoch, Seq: r.last.Seq + 1}
	} else {
		r.last = frames.LogPosition{Epoch: r.epoch, Seq: r.last.Seq, Sub: r.last.Sub + 1}
	}
	return r.last
}

// publish numbers an entry and hands it to the log; `then` happens when it is logged, before anybody hears of it.
func (r *Room) publish(now time.Time, e Entry, body frames.EventBody, then func()) {
	e.After = r.last.Sub
	e.LogPosition, e.TimeMS = r.number(body != nil && len(e.To) == 0), uint64(now.UnixMilli())
	if body != nil {
		frame := r.encode.Event(frames.Event{LogPosition: e.LogPosition, TimeMS: e.TimeMS, Body: body})
		e.Frame = append([]byte(nil), frame...)
	}
	r.published++
	r.unlogged = append(r.unlogged, &e)
	r.pending = append(r.pending, &e)
	r.emit(output{kind: entryOut}, func() {
		r.released = e.LogPosition
		r.pending = r.pending[1:]
		r.keep(&e)
		if then != nil {
			then()
		}
		r.tell(&e)
	})
}

// tell sends a logged entry to those who are to receive it.
func (r *Room) tell(e *Entry) {
	switch {
	case len(e.Frame) == 0:
	case len(e.To) == 0:
		r.sink.Event(e)
	default:
		r.whisper(e, r.audience(e))
	}
}

// audience is where those hear to whom alone an entry goes.
func (r *Room) audience(e *Entry) []Link {
	links := make([]Link, 0, len(e.To))
	for _, user := range e.To {
		if link := r.linkOf(user); link != (Link{}) {
			links = append(links, link)
		}
	}
	return links
}

// whisper tells an entry to links, those of a stream together: what a gateway has seen, all of its members must have.
func (r *Room) whisper(e *Entry, to []Link) {
	for len(to) > 0 {
		stream := to[0].Stream
		var here, elsewhere []Link
		for _, link := range to {
			if link.Stream == stream {
				here = append(here, link)
			} else {
				elsewhere = append(elsewhere, link)
			}
		}
		r.sink.Told(e, here...)
		to = elsewhere
	}
}

// linkOf is where a user hears; the zero Link if nowhere. It goes by what is logged: who has asked to leave still hears
// what was said before.
func (r *Room) linkOf(userID string) Link {
	if m := r.byUser[userID]; m != nil && m.shown {
		return m.link
	}
	for _, m := range r.shown {
		if m.User.ID == userID {
			return m.link
		}
	}
	return Link{}
}
