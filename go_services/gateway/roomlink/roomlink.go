// Package roomlink is what a gateway knows of a room that its members are in: who they are, what they have said that
// was not answered, and what they have heard. So it can go on at another relay as if nothing had happened. It has no
// clock, no goroutine and no I/O.
package roomlink

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
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
	// step is the newest that it made.
	step    dialect.Move
	stepped bool
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

// Stepped keeps the newest step that a member made: it may be on its way when the relay is lost. It and Steps belong to
// the inputs: whatever guards the Queue guards them.
func (m *Member) Stepped(step dialect.Move) {
	values := m.step.Values
	if len(step.Values) > 0 { // else those before are kept
		values = append(values[:0], step.Values...)
	}
	m.step, m.stepped = step, true
	m.step.Values = values
}

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

// Step is one that a member made.
type Step struct {
	Link uint32
	dialect.Move
}

// StepInput is a step that its client wants an answer to.
func StepInput(step Step, rid uint32, number uint64) *roomv1.Input {
	return &roomv1.Input{Link: step.Link, Rid: rid, Number: number, Body: &roomv1.Input_State_{State: &roomv1.Input_State{
		Position: &commonv1.Position{X: step.Position.X, Y: step.Position.Y, Z: step.Position.Z},
		Yaw:      uint32(step.Yaw), Animation: uint32(step.Animation), Values: bytes.Clone(step.Values),
	}}}
}

// Steps are the newest that members made, in order of link. They are of those, too, whose join is not answered yet: it is
// repeated before them.
func (s *Members) Steps() []Step {
	var steps []Step
	for _, m := range s.byLink {
		if m.stepped {
			steps = append(steps, Step{m.Link, m.step}) // who waits for an answer is not asked
		}
	}
	slices.SortFunc(steps, func(a, b Step) int { return int(a.Link) - int(b.Link) })
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
	// MaxSteps bounds how many steps are taken at once, by the contract. With all the values that a session lets
	// through they are a megabyte.
	MaxSteps = 4096
	// MaxWaitingSteps is how many steps may wait before those are dropped that are not the newest of their member.
	MaxWaitingSteps = 4 * MaxSteps
	// mostSpare is for how many steps memory is kept in any case to be used again, and spareValues how many bytes of values
	// each has in it. More than that is kept while no less than a quarter of it is used.
	mostSpare, spareValues = 1024, 64
	// inputOverhead is about what an input takes in memory beside what is in it.
	inputOverhead = 128
)

// Queue is what members did and the relay has not been told, or has not answered. Inputs with a number are answered,
// and are repeated on another stream until they are. All of it is sent in the order in which it came.
type Queue struct {
	waiting    []waiting
	steps      int             // how many of those that wait are steps
	values     []byte          // of the steps that wait, one's after another's
	unanswered []*roomv1.Input // in the order in which they were sent
	bytes      int             // of all inputs
	most       int             // how many steps may wait; 0: MaxWaitingSteps
	lent       *roomv1.Steps   // to the message that was taken last
	// gone are the newest steps of members who have gone, by link, until that is answered.
	gone map[uint32]Step
}

// waiting is an input that waits; or a step, whose values are elsewhere.
type waiting struct {
	input    *roomv1.Input
	step     Step
	valueLen int
}

// sizeOf is about what an input takes in memory.
func sizeOf(in *roomv1.Input) int { return proto.Size(in) + inputOverhead }

func isExit(in *roomv1.Input) bool { return in.GetLeave() != nil || in.GetDetach() != nil }

// Put adds an input; false if there are too many. Who leaves always may.
func (q *Queue) Put(in *roomv1.Input) bool {
	if !isExit(in) && (len(q.waiting)-q.steps+len(q.unanswered) >= MaxInputs || q.bytes >= MaxBytes) {
		return false
	}
	q.putInput(in)
	return true
}

// Exit adds the input by which a member goes, which may always. What it did before may have to be repeated until that is
// answered.
func (q *Queue) Exit(m *Member, in *roomv1.Input) {
	if m.stepped {
		if q.gone == nil {
			q.gone = map[uint32]Step{}
		}
		q.gone[m.Link] = Step{m.Link, m.step}
	}
	q.putInput(in)
}

func (q *Queue) putInput(in *roomv1.Input) {
	q.bytes += sizeOf(in)
	q.waiting = append(q.waiting, waiting{input: in})
}

// Step adds a step, whose values are copied. If too many wait, those are dropped after which their member has made another,
// but for the newest values; it says how many.
func (q *Queue) Step(step Step) (dropped int) {
	if before := q.steps; before >= max(q.most, MaxWaitingSteps) {
		q.dropOlder()
		dropped = before - q.steps
		q.most = 2 * q.steps // so that it is not looked through for each step of a great crowd
	}
	q.putStep(step)
	return dropped
}

func (q *Queue) putStep(step Step) {
	w := waiting{step: step, valueLen: len(step.Values)}
	q.values = append(q.values, step.Values...)
	w.step.Values = nil // they are the caller's
	q.waiting = append(q.waiting, w)
	q.steps++
}

func (q *Queue) dropOlder() {
	superseded := make([]bool, len(q.waiting))
	hasNewer := map[uint32]bool{} // by link: and whether one of them has values
	for i, w := range slices.Backward(q.waiting) {
		if w.input == nil {
			told, newer := hasNewer[w.step.Link]
			superseded[i] = newer && (told || w.valueLen == 0)
			hasNewer[w.step.Link] = told || w.valueLen > 0
		}
	}
	all, values := q.waiting, q.values
	q.waiting, q.values, q.steps = nil, nil, 0
	for i, w := range all {
		w.step.Values, values = values[:w.valueLen], values[w.valueLen:]
		switch {
		case w.input != nil:
			q.waiting = append(q.waiting, w)
		case !superseded[i]:
			q.putStep(w.step)
		}
	}
}

// Len is how many inputs and steps wait to be sent.
func (q *Queue) Len() int { return len(q.waiting) }

// Take moves what comes next into a message that is used again: up to n inputs, and no more than MaxTaken, and the steps
// between them, up to MaxSteps.
func (q *Queue) Take(into *roomv1.AttachRequest_Inputs, n int) {
	clear(into.GetInputs())
	into.Inputs, into.StepsBefore, into.Steps = into.GetInputs()[:0], into.GetStepsBefore()[:0], nil
	steps, taken, bytes, values := q.lend(), 0, 0, 0
	for _, w := range q.waiting {
		if w.input == nil {
			if len(steps.GetLinks()) == MaxSteps {
				break
			}
			w.step.Values = q.values[values : values+w.valueLen]
			values += w.valueLen
			addStep(steps, w.step)
		} else {
			size := sizeOf(w.input)
			if count := len(into.GetInputs()); count == n || count > 0 && bytes+size > MaxTaken {
				break
			}
			bytes += size
			into.Inputs = append(into.Inputs, w.input)
			into.StepsBefore = append(into.StepsBefore, uint32(len(steps.GetLinks())))
			if w.input.GetNumber() != 0 {
				q.unanswered = append(q.unanswered, w.input)
			} else {
				q.bytes -= size
			}
		}
		taken++
	}
	told := len(steps.GetLinks())
	if told > 0 {
		into.Steps = steps
	}
	if len(into.GetInputs()) > 0 && into.GetStepsBefore()[0] == uint32(told) { // all of them are
		into.StepsBefore = into.GetStepsBefore()[:0]
	}
	if q.steps -= told; q.steps == 0 {
		q.most = 0
	}
	q.waiting = dropFirst(q.waiting, taken, mostSpare)
	q.values = dropFirst(q.values, values, mostSpare*spareValues)
}

// dropFirst takes the first n out. Memory that was for a burst is let go when nothing is left.
func dropFirst[T any](all []T, n, spare int) []T {
	if n == len(all) && ofBurst(all, spare) {
		return nil
	}
	return slices.Delete(all, 0, n)
}

// ofBurst says whether a list has memory for much more than is in it.
func ofBurst[T any](used []T, spare int) bool { return cap(used) > max(spare, 4*len(used)) }

// lend empties the lists of the message that was taken last, for they were sent, if they are not those of a burst.
func (q *Queue) lend() *roomv1.Steps {
	s := q.lent
	if s == nil || ofBurst(s.GetLinks(), mostSpare) || ofBurst(s.GetValues(), mostSpare*spareValues) {
		s = &roomv1.Steps{}
	}
	s.Links, s.X, s.Y, s.Z = s.GetLinks()[:0], s.GetX()[:0], s.GetY()[:0], s.GetZ()[:0]
	s.Yaws, s.Animations = s.GetYaws()[:0], s.GetAnimations()[:0]
	s.ValueSizes, s.Values = s.GetValueSizes()[:0], s.GetValues()[:0]
	q.lent = s
	return s
}

func addStep(s *roomv1.Steps, step Step) {
	if len(step.Values) > 0 && len(s.GetValueSizes()) == 0 { // those before have none
		s.ValueSizes = append(s.GetValueSizes(), make([]uint32, len(s.GetLinks()))...)
	}
	if len(step.Values) > 0 || len(s.GetValueSizes()) > 0 {
		s.ValueSizes = append(s.GetValueSizes(), uint32(len(step.Values)))
	}
	s.Links = append(s.GetLinks(), step.Link)
	s.X, s.Y, s.Z = append(s.GetX(), step.Position.X), append(s.GetY(), step.Position.Y), append(s.GetZ(), step.Position.Z)
	s.Yaws, s.Animations = append(s.GetYaws(), uint32(step.Yaw)), append(s.GetAnimations(), uint32(step.Animation))
	s.Values = append(s.GetValues(), step.Values...)
}

// Answered takes note that an input was answered. Most are in the order in which they were sent.
func (q *Queue) Answered(number uint64) {
	for i, in := range q.unanswered {
		if in.GetNumber() == number {
			q.bytes -= sizeOf(in)
			q.unanswered = slices.Delete(q.unanswered, i, i+1)
			if isExit(in) {
				delete(q.gone, in.GetLink())
			}
			return
		}
	}
}

// PutOut takes note that a member is out: its join is not repeated, whether it was answered or not.
func (q *Queue) PutOut(link uint32) {
	q.unanswered = slices.DeleteFunc(q.unanswered, func(in *roomv1.Input) bool {
		out := in.GetLink() == link && in.GetJoin() != nil
		if out {
			q.bytes -= sizeOf(in)
		}
		return out
	})
}

// Reopen begins a new stream: what was not answered is repeated, before what waits; of the steps only those that are
// given, for they are the newest. A step that is to be answered is repeated as the newest, too, also of a member who has
// gone: it is not to walk its way again, in no time, or to be where it was before.
func (q *Queue) Reopen(steps []Step) {
	again := q.unanswered
	for _, w := range q.waiting {
		if w.input.GetNumber() != 0 {
			again = append(again, w.input)
		}
	}
	newest := map[uint32]Step{}
	maps.Copy(newest, q.gone)
	for _, step := range steps {
		newest[step.Link] = step
	}
	*q = Queue{gone: q.gone}
	for _, in := range again {
		if step, ok := newest[in.GetLink()]; ok && in.GetState() != nil {
			in = StepInput(step, in.GetRid(), in.GetNumber())
		}
		q.putInput(in)
	}
	for _, step := range steps {
		q.putStep(step)
	}
}

// Print tells what waits, and what was not answered, with where the steps go: for who must tell two queues apart.
func (q *Queue) Print(to io.Writer) {
	printInput := func(in *roomv1.Input) {
		p := in.GetState().GetPosition()
		_, _ = fmt.Fprintf(to, "%d %d %v %v %v;", in.GetNumber(), in.GetRid(), p.GetX(), p.GetY(), p.GetZ())
	}
	values := q.values
	for _, w := range q.waiting {
		if w.input != nil {
			printInput(w.input)
			continue
		}
		_, _ = fmt.Fprintf(to, "%v %q;", w.step, values[:w.valueLen])
		values = values[w.valueLen:]
	}
	_, _ = fmt.Fprint(to, "unanswered ")
	for _, in := range q.unanswered {
		printInput(in)
	}
	for _, link := range slices.Sorted(maps.Keys(q.gone)) {
		_, _ = fmt.Fprintf(to, "gone %v", q.gone[link])
	}
}

// String tells the numbers of what waits and of what was not answered, and whose steps wait, for tests and people.
func (q *Queue) String() string {
	numbers, links := []uint64{}, []uint32{}
	for _, w := range q.waiting {
		if w.input != nil {
			numbers = append(numbers, w.input.GetNumber())
		} else {
			links = append(links, w.step.Link)
		}
	}
	unanswered := make([]uint64, 0, len(q.unanswered))
	for _, in := range q.unanswered {
		unanswered = append(unanswered, in.GetNumber())
	}
	return fmt.Sprintf("waiting %v, unanswered %v, steps of %v", numbers, unanswered, links)
}
