// Package roomlink is what a gateway knows of a room that its members are in: who they are, what they have said that
// was not answered, and what they have heard. So it can go on at another relay as if nothing had happened. It has no
// clock, no goroutine and no I/O.
package roomlink

import (
	"fmt"
	"slices"

	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"google.golang.org/protobuf/proto"
)

// Member is somebody who has sent its join.
type Member struct {
	// Link is its number on the streams of the room.
	Link uint32
	// Join is how it came in.
	Join *roomv1.Input_Join
	// Entity is the one that it has; 0 while it is on its way in.
	Entity uint32
	// behind is what it has seen if that may be less than the others of its gateway: it has resumed, and what it missed
	// is on its way. nil if it is not behind.
	behind *frames.LogPosition
	// step is the newest state that it sent.
	step *roomv1.Input
}

// Members are those of one gateway in one room.
type Members struct {
	byLink map[uint32]*Member
	behind map[uint32]*Member // those who may have seen less than the others
	last   uint32
	seen   *frames.LogPosition
	epoch  uint64
}

// NewMembers makes an empty set.
func NewMembers() *Members {
	return &Members{byLink: map[uint32]*Member{}, behind: map[uint32]*Member{}}
}

// Enter adds somebody who sends its join, and gives it a link.
func (s *Members) Enter(join *roomv1.Input_Join) *Member {
	s.last++
	m := &Member{Link: s.last, Join: join}
	s.byLink[m.Link] = m
	return m
}

// Leave takes a member out.
func (s *Members) Leave(link uint32) {
	delete(s.byLink, link)
	delete(s.behind, link)
}

// Stepped keeps the newest state that a member sent: it may be on its way when the relay is lost. It and Steps belong to
// the inputs: whatever guards the Queue guards them.
func (m *Member) Stepped(in *roomv1.Input) { m.step = in }

// Opened takes the word of a relay that the room is there. It is not, if the epoch is smaller than one that was seen:
// then that relay does not know yet that it has lost the room.
func (s *Members) Opened(epoch uint64) bool {
	if epoch < s.epoch {
		return false
	}
	s.epoch = epoch
	return true
}

// Moved takes the word that the room is elsewhere, in an epoch; 0 if that is not known.
func (s *Members) Moved(epoch uint64) { s.epoch = max(s.epoch, epoch) }

// Accept takes note of a delivery, and says whether it is new. What is for single members always is: a member that
// resumes gets what others have had already.
func (s *Members) Accept(d *roomv1.Delivery) bool {
	joined, ok := d.GetMembership().GetOutcome().(*roomv1.Membership_JoinedEntity)
	m := s.byLink[d.GetMembership().GetLink()]
	if ok && m != nil {
		m.Entity = joined.JoinedEntity
	}
	p := d.GetPosition()
	if p == nil {
		return true
	}
	at := frames.LogPosition{Epoch: p.GetEpoch(), Seq: p.GetSeq(), Sub: p.GetSub()}
	news := s.seen == nil || at.Compare(*s.seen) > 0
	if news {
		s.seen = &at
	}
	if len(d.GetLinks()) == 0 {
		if news { // whatever anybody missed was sent before it
			for _, m := range s.behind {
				m.behind = nil
			}
			clear(s.behind)
		}
		return news
	}
	for _, link := range d.GetLinks() {
		if m := s.byLink[link]; m != nil && (ok || m.behind != nil) {
			m.behind = &at
			s.behind[link] = m
		}
	}
	return true
}

// Open is the first message of a new stream: what was seen, and who is in. The state of a member is what the room has
// said of it; what it sent since follows as inputs (Steps).
func (s *Members) Open(
	roomID, gatewayID string, config *roomv1.RoomConfig, state func(entity uint32) *roomv1.Input_State,
) *roomv1.AttachRequest_Open {
	open := &roomv1.AttachRequest_Open{RoomId: roomID, GatewayId: gatewayID, Config: config}
	if s.seen != nil {
		open.Seen = &roomv1.LogPosition{Epoch: s.seen.Epoch, Seq: s.seen.Seq, Sub: s.seen.Sub}
	}
	for _, m := range s.inside() {
		join := &roomv1.Input_Join{
			User: m.Join.GetUser(), GatewaySessionId: m.Join.GetGatewaySessionId(), Role: m.Join.GetRole(),
		}
		if p := m.behind; p != nil && p.Compare(*s.seen) < 0 {
			join.Resume = &roomv1.LogPosition{Epoch: p.Epoch, Seq: p.Seq, Sub: p.Sub}
		}
		open.Rejoins = append(open.Rejoins, &roomv1.Rejoin{
			Link: m.Link, Join: join, Entity: m.Entity, State: state(m.Entity),
		})
	}
	return open
}

// Steps are the newest states that members sent.
func (s *Members) Steps() []*roomv1.Input {
	var steps []*roomv1.Input
	for _, m := range s.inside() {
		if m.step != nil {
			steps = append(steps, &roomv1.Input{Link: m.Link, Body: m.step.GetBody()}) // who waits for an answer is not asked
		}
	}
	return steps
}

// inside are those who are in, in order of link.
func (s *Members) inside() []*Member {
	all := make([]*Member, 0, len(s.byLink))
	for _, m := range s.byLink {
		if m.Entity != 0 {
			all = append(all, m)
		}
	}
	slices.SortFunc(all, func(a, b *Member) int { return int(a.Link) - int(b.Link) })
	return all
}

// String tells what is known, for tests and people.
func (s *Members) String() string {
	text := fmt.Sprintf("epoch %d", s.epoch)
	if s.seen != nil {
		text += fmt.Sprintf(", seen %v", *s.seen)
	}
	for _, m := range s.inside() {
		text += fmt.Sprintf(", link %d is entity %d", m.Link, m.Entity)
		if m.behind != nil {
			text += fmt.Sprintf(" and has seen %v", *m.behind)
		}
	}
	return text
}

// Bounds of what waits for a relay. Past them the relay is as good as gone.
const (
	// MaxInputs bounds how many inputs wait, or were not answered.
	MaxInputs = 64 << 10
	// MaxBytes bounds how large they are.
	MaxBytes = 8 << 20
	// MaxTaken bounds how large the inputs are that are taken at once, but for the first: gRPC takes no message of more than
	// 4 MiB, and what can not be sent would be repeated for ever.
	MaxTaken = 1 << 20
	// inputOverhead is about what an input takes in memory beside what is in it.
	inputOverhead = 128
)

// Queue is what members did and the relay has not been told, or has not answered. Inputs with a number are answered,
// and are repeated on another stream until they are.
type Queue struct {
	waiting    []*roomv1.Input
	unanswered []*roomv1.Input // in the order in which they were sent
	bytes      int
}

// sizeOf is about what an input takes in memory. State, which is nearly all there is, is not looked at closely.
func sizeOf(in *roomv1.Input) int {
	if state := in.GetState(); state != nil {
		return len(state.GetValues()) + inputOverhead
	}
	return proto.Size(in) + inputOverhead
}

// Put adds an input; false if there are too many. Who leaves always may.
func (q *Queue) Put(in *roomv1.Input) bool {
	leaves := in.GetLeave() != nil || in.GetDetach() != nil
	if !leaves && (len(q.waiting)+len(q.unanswered) >= MaxInputs || q.bytes >= MaxBytes) {
		return false
	}
	q.bytes += sizeOf(in)
	q.waiting = append(q.waiting, in)
	return true
}

// Len is how many inputs wait to be sent.
func (q *Queue) Len() int { return len(q.waiting) }

// Take moves up to n inputs, and no more than MaxTaken, into a slice that is used again.
func (q *Queue) Take(reuse []*roomv1.Input, n int) []*roomv1.Input {
	clear(reuse)
	taken, bytes := reuse[:0], 0
	for _, in := range q.waiting[:min(len(q.waiting), n)] {
		size := sizeOf(in)
		if bytes += size; bytes > MaxTaken && len(taken) > 0 {
			break
		}
		taken = append(taken, in)
		if in.GetNumber() != 0 {
			q.unanswered = append(q.unanswered, in)
		} else {
			q.bytes -= size
		}
	}
	rest := copy(q.waiting, q.waiting[len(taken):])
	clear(q.waiting[rest:])
	q.waiting = q.waiting[:rest]
	return taken
}

// Answered takes note that an input was answered. Most are in the order in which they were sent.
func (q *Queue) Answered(number uint64) {
	for i, in := range q.unanswered {
		if in.GetNumber() == number {
			q.bytes -= sizeOf(in)
			q.unanswered = slices.Delete(q.unanswered, i, i+1)
			return
		}
	}
}

// Reopen begins a new stream: what was not answered is repeated, before what waits; of the states only the steps that
// are given, for they are the newest.
func (q *Queue) Reopen(steps []*roomv1.Input) {
	waiting := q.unanswered
	for _, in := range q.waiting {
		if in.GetNumber() != 0 {
			waiting = append(waiting, in)
		}
	}
	q.waiting, q.unanswered = append(waiting, steps...), nil
	q.bytes = 0
	for _, in := range q.waiting {
		q.bytes += sizeOf(in)
	}
}

// String tells the numbers of what waits and of what was not answered, for tests and people.
func (q *Queue) String() string {
	numbers := func(inputs []*roomv1.Input) []uint64 {
		all := make([]uint64, len(inputs))
		for i, in := range inputs {
			all[i] = in.GetNumber()
		}
		return all
	}
	return fmt.Sprintf("waiting %v, unanswered %v", numbers(q.waiting), numbers(q.unanswered))
}
