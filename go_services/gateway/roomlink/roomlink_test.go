package roomlink

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
	"github.com/worldmesh/worldmesh/go_services/gateway/session"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"google.golang.org/protobuf/proto"
)

func TestWhatIsSentAtOnceFitsIntoAMessage(t *testing.T) {
	const chats = 1024
	text := strings.Repeat("x", 4000)
	var q Queue
	for number := range uint64(chats) {
		if !q.Put(&roomv1.Input{Number: number + 1, Body: &roomv1.Input_Chat_{Chat: &roomv1.Input_Chat{Text: text}}}) {
			t.Fatalf("only %d can wait", number)
		}
	}
	next := uint64(1)
	var batch roomv1.AttachRequest_Inputs
	for q.Len() > 0 {
		q.Take(&batch, chats)
		taken := batch.GetInputs()
		if size := proto.Size(&batch); len(taken) == 0 || size > MaxTaken {
			t.Fatalf("%d inputs of %d bytes were taken at once", len(taken), size)
		}
		for _, in := range taken {
			if in.GetNumber() != next {
				t.Fatalf("number %d was taken when %d was next", in.GetNumber(), next)
			}
			next++
		}
	}
	if next != chats+1 {
		t.Errorf("%d were taken", next-1)
	}
	q.Reopen(nil)
	if q.Len() != chats {
		t.Errorf("%d are repeated", q.Len())
	}
}

// said is steps as a relay reads them.
func said(s *roomv1.Steps) []string {
	var all []string
	values, sizes := s.GetValues(), s.GetValueSizes()
	for i, link := range s.GetLinks() {
		text := fmt.Sprintf("%d at %v,%v,%v facing %d does %d", link, s.X[i], s.Y[i], s.Z[i], s.Yaws[i], s.Animations[i])
		if len(sizes) > 0 && sizes[i] > 0 {
			text += fmt.Sprintf(" with %s", values[:sizes[i]])
			values = values[sizes[i]:]
		}
		all = append(all, text)
	}
	return all
}

func moveTo(x float32, values string) dialect.Move {
	return dialect.Move{Position: frames.Vec3{X: x, Y: 1, Z: 2}, Yaw: 3, Animation: 4, Values: []byte(values)}
}

// sent is all that a queue has, message by message.
func sent(q *Queue) []string {
	var all []string
	var batch roomv1.AttachRequest_Inputs
	for q.Take(&batch, 9); len(batch.GetInputs()) > 0 || batch.GetSteps() != nil; q.Take(&batch, 9) {
		message := strings.Join(said(batch.GetSteps()), ", ")
		for _, in := range batch.GetInputs() {
			message += fmt.Sprintf(" then %d", in.GetNumber())
		}
		all = append(all, message)
	}
	return all
}

func input(number uint64) *roomv1.Input {
	return &roomv1.Input{Link: 1, Number: number, Body: &roomv1.Input_Look_{}}
}

func TestStepsAndInputsAreSentInTheirOrder(t *testing.T) {
	var q Queue
	for range 2 { // what was taken is used again, by less
		q.Put(input(1))
		q.Step(Step{1, moveTo(1, "")})
		q.Step(Step{2, moveTo(2, "two")})
		q.Put(input(2))
		q.Put(input(3))
		q.Step(Step{1, moveTo(3, "")})
		q.Put(input(4))
		want := []string{
			" then 1", "1 at 1,1,2 facing 3 does 4, 2 at 2,1,2 facing 3 does 4 with two then 2 then 3", "1 at 3,1,2 facing 3 does 4 then 4",
		}
		if got := sent(&q); !slices.Equal(got, want) {
			t.Fatalf("%q", got)
		}
	}
	q.Step(Step{1, moveTo(1, "")}) // in memory that has had values
	q.Step(Step{2, moveTo(2, "two")})
	q.Put(input(5))
	var batch roomv1.AttachRequest_Inputs
	q.Take(&batch, 1)
	if s := batch.GetSteps(); !slices.Equal(s.GetValueSizes(), []uint32{0, 3}) || len(batch.GetInputs()) != 1 {
		t.Errorf("%v", &batch)
	}
}

func TestMemoryThatWasSentIsUsedAgainIfThatIsNotMuch(t *testing.T) {
	var q Queue
	var batch roomv1.AttachRequest_Inputs
	fill := func(n int) *roomv1.Steps {
		for range n {
			q.Step(Step{1, moveTo(1, "x")})
		}
		q.Take(&batch, 1)
		return batch.GetSteps()
	}
	first, second, third := fill(8), fill(8), fill(8)
	if first == second || first != third {
		t.Error("two are in use in turn")
	}
	if large := fill(MaxSteps); large == fill(8) || large == fill(8) {
		t.Error("a burst is kept")
	}
}

func TestMoreStepsThanAMessageHoldsAreTakenInParts(t *testing.T) {
	for name, values := range map[string]func(int) string{
		"without values":  func(int) string { return "" },
		"with values":     func(i int) string { return strings.Repeat("x", i%3) },
		"with large ones": func(int) string { return strings.Repeat("x", session.MaxValues) },
	} {
		var q Queue
		var want, got []string
		for i := range 2*MaxSteps + 7 {
			one := Queue{}
			one.Step(Step{uint32(i), moveTo(float32(i), values(i))})
			want = append(want, said(one.steps)...)
			q.Step(Step{uint32(i), moveTo(float32(i), values(i))})
		}
		var batch roomv1.AttachRequest_Inputs
		for q.Len() > 0 {
			q.Take(&batch, 1)
			n, size := len(batch.GetSteps().GetLinks()), proto.Size(&batch)
			if n == 0 || n > MaxSteps || size > 4<<20-MaxTaken { // of what a relay takes, inputs may be the rest
				t.Fatalf("%s, %d of %d bytes were taken at once", name, n, size)
			}
			got = append(got, said(batch.GetSteps())...)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s, %d were taken, and not as they were put", name, len(got))
		}
	}
}

func TestOfTooManyStepsTheOldestAreDroppedAndNoInput(t *testing.T) {
	var q Queue
	q.Step(Step{7, moveTo(1, "")})
	q.Put(input(1))
	dropped, most := 0, 0
	for i := range 3 * MaxWaitingSteps {
		dropped += q.Step(Step{1, moveTo(float32(i), "values")})
		most = max(most, q.Len())
	}
	if most > MaxWaitingSteps+1 || dropped+q.Len() != 3*MaxWaitingSteps+2 {
		t.Errorf("%d waited, %d were dropped, %d are left", most, dropped, q.Len())
	}
	messages := sent(&q)
	if messages[0] != " then 1" || !strings.HasSuffix(messages[len(messages)-1], fmt.Sprintf("%d,1,2 facing 3 does 4 with values", 3*MaxWaitingSteps-1)) {
		t.Errorf("sent are %.100s and so on", messages)
	}
}

func TestWhatAQueueOfInputsHolds(t *testing.T) {
	var q Queue
	for number := uint64(1); q.Put(input(number)); number++ {
	}
	most := q.Len()
	q.Step(Step{1, moveTo(1, "")})
	if most > MaxInputs || most < MaxInputs/2 || q.Len() != most+1 {
		t.Errorf("%d wait, and with a step %d", most, q.Len())
	}
	if !q.Put(&roomv1.Input{Body: &roomv1.Input_Leave_{Leave: &roomv1.Input_Leave{}}}) {
		t.Error("who leaves may not")
	}
	q.Reopen([]Step{{1, moveTo(2, "")}})
	if q.Len() != most+1 {
		t.Errorf("%d are repeated", q.Len())
	}
}

func TestTheNewestStepsAreRepeatedWithTheNewestValues(t *testing.T) {
	members := NewMembers()
	ann, ben, cyd := members.Enter(nil), members.Enter(nil), members.Enter(nil)
	ann.Entity, cyd.Entity = 1, 3 // ben is on his way in, cyd stands still
	var q Queue
	for _, step := range []dialect.Move{moveTo(1, "old"), moveTo(2, "new"), moveTo(3, "")} {
		ann.Stepped(step)
		q.Step(Step{ann.Link, step})
		step.Values = append(step.Values[:0], "???"...) // whose memory is the caller's
	}
	ben.Stepped(moveTo(4, ""))
	q.Put(input(9)) // ben's join
	q.Reopen(members.Steps())
	want := []string{" then 9", "1 at 3,1,2 facing 3 does 4 with new, 2 at 4,1,2 facing 3 does 4"}
	if got := sent(&q); !slices.Equal(got, want) {
		t.Errorf("repeated: %q", got)
	}
}
