package room

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

// Join is somebody who wants to enter.
type Join struct {
	User frames.User
	// Session tells two entries of one user apart.
	Session string
	// Role is worldmesh.world.v1.RoomRole's number.
	Role int32
	// Resume is what somebody who comes back has seen; nil for who does not.
	Resume *frames.LogPosition
}

// Join lets somebody in, or answers why not. Who is in already by the same session, or comes back, goes on as it was.
// Another connection of a user who is in takes the first one's place: that is told MEMBER_REPLACED, and the others see
// it leave and enter.
func (r *Room) Join(now time.Time, link Link, in In, join Join) {
	if r.byLink[link] != nil {
		r.sink.Failed(link, in, commonv1.ErrorReason_ERROR_REASON_ALREADY_IN_ROOM, "the connection is in the room already")
		return
	}
	old := r.byUser[join.User.ID]
	if old != nil && old.Session == join.Session {
		r.rebind(old, link, in, join)
		return
	}
	if !r.takesOrdered() {
		r.sink.Refused(link, in, commonv1.ErrorReason_ERROR_REASON_LOG_UNAVAILABLE, "the room takes nobody in now")
		return
	}
	if old != nil && join.Resume != nil {
		old.Session, old.Role, old.User = join.Session, join.Role, join.User
		record := old.Record
		r.recall(old) // what it said may be of a member whose place this one took
		r.publish(now, Entry{Author: join.User.ID, Joined: &record}, nil, nil)
		r.rebind(old, link, in, join)
		return
	}
	if old != nil {
		r.replaced(old)
		r.remove(now, old, Entry{Author: old.User.ID}, nil)
	}
	if len(r.members) >= r.cfg.Capacity {
		r.sink.Refused(link, in, commonv1.ErrorReason_ERROR_REASON_ROOM_FULL,
			fmt.Sprintf("the room holds %d members at most", r.cfg.Capacity))
		return
	}
	r.enter(now, link, in, join)
}

func (r *Room) enter(now time.Time, link Link, in In, join Join) {
	r.lastEntity++
	m := &member{
		Record: Record{
			Entity: r.lastEntity, User: join.User, Session: join.Session, Role: join.Role, SinceMS: uint64(now.UnixMilli()),
		},
		speaks: link, walk: newWalk(now), seen: &recent{},
		state: frames.EntityState{Entity: r.lastEntity, Position: r.cfg.Spawn},
	}
	if join.Resume != nil { // who comes back may say again what it said before
		r.recall(m)
	}
	r.members = append(r.members, m)
	r.byLink[link] = m
	r.byUser[m.User.ID] = m
	record := m.Record
	e := Entry{Author: m.User.ID, Key: inputKey(m.Session, in), Joined: &record}
	told := frames.MemberJoined{Member: m.frame(), OutOfSight: r.grid != nil}
	r.publish(now, e, told, func() { r.show(m, told) })
	r.emit(output{joinedOut, link, in}, func() {
		if m.speaks != link {
			r.tooLate(m, link, in)
			return
		}
		r.hear(m, link)
		s := r.snapshot(m)
		s.Gap = join.Resume != nil
		r.sink.Joined(link, in, s)
	})
}

// recall has a member know what its user has said, as far back as the tail reaches.
func (r *Room) recall(m *member) {
	for _, e := range slices.Concat(r.tail, r.pending) {
		if e.Author == m.User.ID {
			m.seen.add(e.Key)
		}
	}
}

// rebind gives a member who is in another connection.
func (r *Room) rebind(m *member, link Link, in In, join Join) {
	before := m.speaks // it may not have heard yet that it is in
	delete(r.byLink, before)
	r.connect(m, link)
	if !m.placed { // nobody will say where it was: it is where its snapshot says
		m.placed = true
		r.changed(m)
	}
	r.emit(output{reboundOut, link, in}, func() {
		if before != (Link{}) {
			r.sink.Removed(before, In{}, commonv1.ErrorReason_ERROR_REASON_MEMBER_REPLACED)
		}
		r.hear(m, Link{})
		if m.speaks != link {
			r.tooLate(m, link, in)
			return
		}
		r.hear(m, link)
		r.resume(m, in, join.Resume)
	})
}

// tooLate answers a join whose member has left, or has another connection, before it was logged. Who was replaced learns
// it by the answer, for nothing after that may reach its gateway; whose connection was lost does not listen.
func (r *Room) tooLate(m *member, link Link, in In) {
	if m.left {
		r.sink.Done(link, in)
		return
	}
	r.sink.Removed(link, in, commonv1.ErrorReason_ERROR_REASON_MEMBER_REPLACED)
}

// resume tells a member that it is in as it was, and what it has missed.
func (r *Room) resume(m *member, in In, seen *frames.LogPosition) {
	s := r.snapshot(m)
	if seen == nil {
		r.sink.Joined(m.link, in, s)
		return
	}
	missed, reaches := r.since(*seen)
	// Nobody hears what was said before it came.
	reaches = reaches && !slices.ContainsFunc(missed, func(e *Entry) bool { return e.enters(m.Entity) })
	s.Resumed, s.Gap = true, !reaches
	if reaches {
		s.LogPosition = *seen
	}
	r.sink.Joined(m.link, in, s)
	if !reaches {
		return
	}
	for _, e := range missed {
		if e.isFor(m.User.ID) {
			r.sink.Told(e, m.link)
		}
	}
}

// Rejoin is a member who was in by an earlier stream of its gateway.
type Rejoin struct {
	Link uint32
	Join Join
	// State is its newest, or nil if it has not moved; and what the application syncs with it.
	State  *frames.EntityState
	Values []byte
}

// Attached takes a gateway's new stream: who is in by it, and what it has seen; nil: nothing yet. It is sent what it
// has missed.
func (r *Room) Attached(stream uint64, seen *frames.LogPosition, rejoins []Rejoin) {
	var back []*member
	var out []Rejoin
	resumes := map[*member]*frames.LogPosition{}
	for _, rejoin := range rejoins {
		if m := r.rejoin(Link{Stream: stream, ID: rejoin.Link}, rejoin); m != nil {
			back = append(back, m)
			resumes[m] = rejoin.Join.Resume
		} else if rejoin.Join.Resume != nil {
			out = append(out, rejoin)
		}
	}
	if len(back) > 0 { // and those who have gone somewhere meanwhile may stand still now
		r.tellAll()
	}
	if seen == nil {
		return
	}
	missed, reaches := r.since(*seen)
	for _, m := range back {
		r.catchUp(m, resumes[m], *seen, reaches)
	}
	if reaches {
		for _, rejoin := range out { // who has left hears all the same, until that is answered
			if before, known := r.since(*rejoin.Join.Resume); known {
				r.tellMissed(before, *seen, Link{Stream: stream, ID: rejoin.Link}, rejoin.Join.User.ID)
			}
		}
		for _, e := range missed {
			r.again(e, stream)
		}
	}
}

// catchUp tells a member who is back what it has seen less of than its gateway, or that there is a gap. What the gateway
// has missed follows for all of it, if the tail reaches so far.
func (r *Room) catchUp(m *member, resume *frames.LogPosition, seen frames.LogPosition, reaches bool) {
	if reaches && resume == nil {
		return
	}
	s := r.snapshot(m)
	s.Resumed, s.Gap = true, true
	if !reaches {
		r.sink.Joined(m.link, In{}, s)
		return
	}
	missed, known := r.since(*resume)
	if !known {
		s.LogPosition = seen
		r.sink.Joined(m.link, In{}, s)
		return
	}
	r.tellMissed(missed, seen, m.link, m.User.ID)
}

// tellMissed tells a link what the others of its gateway have seen and its user has not.
func (r *Room) tellMissed(missed []*Entry, seen frames.LogPosition, link Link, userID string) {
	for _, e := range missed {
		if e.Compare(seen) <= 0 && e.isFor(userID) {
			r.sink.Told(e, link)
		}
	}
}

// rejoin gives a member the link that it has on another stream; nil if it is not in any more.
func (r *Room) rejoin(link Link, rejoin Rejoin) *member {
	join := rejoin.Join
	m := r.byUser[join.User.ID]
	if m == nil || m.Session != join.Session {
		if m == nil && r.leftByItself(join.User.ID, join.Session) {
			return nil // its leave is repeated, and answered then
		}
		reason := commonv1.ErrorReason_ERROR_REASON_ROOM_UNAVAILABLE
		if m != nil {
			reason = commonv1.ErrorReason_ERROR_REASON_MEMBER_REPLACED
		}
		r.sink.Removed(link, In{}, reason)
		return nil
	}
	delete(r.byLink, m.speaks)
	r.connect(m, link)
	if s := rejoin.State; s != nil && r.contains(s.Position) {
		m.state.Position, m.state.Yaw, m.state.Animation = s.Position.Rounded(), s.Yaw, s.Animation
		m.placed = true
		r.changed(m)
	}
	if len(rejoin.Values) > 0 {
		r.setValues(m, rejoin.Values)
		r.changed(m)
	}
	r.hear(m, link)
	return m
}

// leftByItself says whether a session's member left by an input of its own.
func (r *Room) leftByItself(userID, session string) bool {
	for _, e := range slices.Backward(slices.Concat(r.tail, r.pending)) {
		if e.Left != 0 && e.Author == userID {
			return strings.HasPrefix(e.Key, session+"#")
		}
	}
	return false
}

// again sends an entry to one stream that has missed it.
func (r *Room) again(e *Entry, stream uint64) {
	if len(e.Frame) == 0 {
		return
	}
	if len(e.To) == 0 {
		r.sink.Again(e, stream)
		return
	}
	r.whisper(e, slices.DeleteFunc(r.audience(e), func(to Link) bool { return to.Stream != stream }))
}

// Leave lets a member out, by its link, or by its session if the link is not known: the leave of an earlier stream. It
// is answered also if nobody is in by it any more.
func (r *Room) Leave(now time.Time, link Link, in In, session string) {
	m := r.find(link, session)
	if m == nil {
		r.emit(output{removedOut, link, in}, func() {
			r.sink.Removed(link, in, commonv1.ErrorReason_ERROR_REASON_UNSPECIFIED)
		})
		return
	}
	m.left = true
	r.remove(now, m, Entry{Author: m.User.ID, Key: inputKey(m.Session, in)}, func() {
		r.sink.Removed(link, in, commonv1.ErrorReason_ERROR_REASON_UNSPECIFIED)
	})
}

// Detach takes the news that a member's connection is lost: it stays in for a while.
func (r *Room) Detach(now time.Time, link Link, in In, session string) {
	if m := r.find(link, session); m != nil {
		r.disconnect(now, m)
	}
	r.done(link, in)
}

// find is the member of a link, or of a session that has no connection: by another, it has come in again since.
func (r *Room) find(link Link, session string) *member {
	if m := r.byLink[link]; m != nil {
		return m
	}
	for _, m := range r.members {
		if m.Session == session && session != "" && m.speaks == (Link{}) {
			return m
		}
	}
	return nil
}

// StreamEnded takes the news that a gateway's stream is lost: its members stay in for a while.
func (r *Room) StreamEnded(now time.Time, stream uint64) {
	for _, m := range r.members {
		if m.speaks.Stream == stream && m.speaks != (Link{}) {
			r.disconnect(now, m)
		} else if m.link.Stream == stream {
			r.hear(m, Link{})
		}
	}
	for _, m := range r.shown { // also of those who have asked to leave
		if m.link.Stream == stream {
			r.hear(m, Link{})
		}
	}
}

func (r *Room) disconnect(now time.Time, m *member) {
	delete(r.byLink, m.speaks)
	if m.link == m.speaks { // else it still hears by the connection before, until that is told
		r.hear(m, Link{})
	}
	m.speaks, m.lost, m.untold = Link{}, now, true
}

func (r *Room) connect(m *member, link Link) {
	m.untold = m.untold || !m.lost.IsZero()
	m.speaks, m.lost = link, time.Time{}
	r.byLink[link] = m
}

// Lost says since when a member has no connection; a zero Since: it has one again.
type Lost struct {
	Entity uint32
	Since  time.Time
}

// LostNews is what the store does not know of whose connections are lost, so that holds go on at the next relay.
func (r *Room) LostNews() (news []Lost) {
	for _, m := range r.members {
		if m.untold {
			news = append(news, Lost{m.Entity, m.lost})
		}
	}
	return news
}

// LostToAll is what the store is to know when the room goes to another relay: the holds of all begin, if they have not.
func (r *Room) LostToAll(now time.Time) (news []Lost) {
	for _, m := range r.members {
		since := m.lost
		if since.IsZero() {
			since = now
		}
		news = append(news, Lost{m.Entity, since})
	}
	return news
}

// LostTold takes note that the store knows some news, unless there is newer.
func (r *Room) LostTold(news []Lost) {
	told := 0
	for _, m := range r.members { // both are in order of entity
		for told < len(news) && news[told].Entity < m.Entity {
			told++
		}
		if told < len(news) && news[told] == (Lost{m.Entity, m.lost}) {
			m.untold = false
		}
	}
}

// Time removes the members whose hold is over; while nothing ordered is taken, they stay.
func (r *Room) Time(now time.Time) {
	if !r.takesOrdered() {
		return
	}
	var over []*member
	for _, m := range r.members {
		if !m.lost.IsZero() && !m.lost.Add(r.cfg.Hold).After(now) {
			over = append(over, m)
		}
	}
	for _, m := range over {
		r.remove(now, m, Entry{Author: m.User.ID}, nil)
	}
}

// remove takes a member out; `then`, if there is one, happens when that is logged, before the others hear of it.
func (r *Room) remove(now time.Time, m *member, e Entry, then func()) {
	r.members = slices.DeleteFunc(r.members, func(other *member) bool { return other == m })
	delete(r.byLink, m.speaks)
	delete(r.byUser, m.User.ID)
	m.speaks = Link{}
	e.Left = m.Entity
	r.publish(now, e, frames.MemberLeft{Entity: m.Entity, UserID: m.User.ID}, func() {
		r.hide(m)
		if then != nil {
			then()
		}
	})
}

// replaced tells a member that another connection takes its place, when all before is told. It may not have heard yet
// that it is in.
func (r *Room) replaced(m *member) {
	link := m.speaks
	r.emit(output{kind: replacedOut, to: link}, func() {
		r.hear(m, Link{})
		if link != (Link{}) {
			r.sink.Removed(link, In{}, commonv1.ErrorReason_ERROR_REASON_MEMBER_REPLACED)
		}
	})
}

// memberOrFail is the member of a link; if there is none, the link is answered so.
func (r *Room) memberOrFail(link Link, in In) *member {
	m := r.byLink[link]
	if m == nil {
		r.sink.Failed(link, in, commonv1.ErrorReason_ERROR_REASON_NOT_IN_ROOM, "not in the room")
	}
	return m
}

func (r *Room) done(link Link, in In) {
	r.emit(output{doneOut, link, in}, func() { r.sink.Done(link, in) })
}

// inputKey tells the inputs of a session apart.
func inputKey(session string, in In) string {
	if in.Number == 0 {
		return ""
	}
	return session + "#" + strconv.FormatUint(in.Number, 10)
}

// snapshot is the room as it is. Of a grid the others follow: it is as large as the room.
func (r *Room) snapshot(self *member) frames.Snapshot {
	s := frames.Snapshot{
		RoomID: r.id, DisplayName: r.cfg.DisplayName, LogPosition: r.released, Tick: r.tick,
		TickHz: uint8(r.cfg.TickHz), Width: r.cfg.Width, Depth: r.cfg.Depth, MaxSpeed: r.cfg.MaxSpeed,
		SelfEntity: self.Entity,
	}
	if r.grid != nil {
		s.ViewRadius, s.Members = r.cfg.Grid.Radius(), []frames.Member{self.frame()}
		r.wantRoster(self, 0)
		return s
	}
	s.Members = make([]frames.Member, len(r.shown))
	for i, m := range r.shown {
		s.Members[i] = m.frame()
	}
	return s
}
