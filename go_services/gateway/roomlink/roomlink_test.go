package roomlink

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
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

func TestStepsComeAfterTheInputsAndEachWithItsValues(t *testing.T) {
	var q Queue
	var batch roomv1.AttachRequest_Inputs
	for range 2 { // what was taken is used again
		q.Step(Step{1, moveTo(1, "")})
		q.Step(Step{2, moveTo(2, "two")})
		q.Put(&roomv1.Input{Link: 3, Body: &roomv1.Input_Look_{}})
		q.Put(&roomv1.Input{Link: 4, Body: &roomv1.Input_Look_{}})
		q.Step(Step{1, moveTo(3, "")})
		q.Step(Step{2, moveTo(4, "four")})
		if q.Take(&batch, 1); len(batch.GetInputs()) != 1 || batch.GetSteps() != nil {
			t.Fatalf("before the last input come %v", &batch)
		}
		q.Take(&batch, 9)
		want := []string{
			"1 at 1,1,2 facing 3 does 4", "2 at 2,1,2 facing 3 does 4 with two",
			"1 at 3,1,2 facing 3 does 4", "2 at 4,1,2 facing 3 does 4 with four",
		}
		if got := said(batch.GetSteps()); len(batch.GetInputs()) != 1 || !slices.Equal(got, want) {
			t.Fatalf("%d inputs, and then %q", len(batch.GetInputs()), got)
		}
		if q.Take(&batch, 9); q.Len() > 0 || len(batch.GetInputs()) > 0 || batch.GetSteps() != nil {
			t.Fatalf("what is left is %v", &batch)
		}
	}
}

func TestMoreStepsThanAMessageHoldsAreTakenInParts(t *testing.T) {
	for name, values := range map[string]func(int) string{
		"without values": func(int) string { return "" },
		"with values":    func(i int) string { return strings.Repeat("x", i%3) },
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
			if n := len(batch.GetSteps().GetLinks()); n == 0 || n > MaxSteps {
				t.Fatalf("%s, %d were taken at once", name, n)
			}
			got = append(got, said(batch.GetSteps())...)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s, %d were taken, and not as they were put", name, len(got))
		}
	}
}

func TestStepsHaveTheirBound(t *testing.T) {
	var few, large Queue
	for few.Step(Step{1, moveTo(1, "")}) {
	}
	for large.Step(Step{1, moveTo(1, strings.Repeat("x", 256))}) {
	}
	if few.Len() != MaxInputs || large.Len() > MaxBytes/256 || large.Len() < MaxBytes/512 {
		t.Errorf("%d steps wait, or %d with values", few.Len(), large.Len())
	}
	if few.Put(&roomv1.Input{Body: &roomv1.Input_Chat_{}}) || !few.Put(&roomv1.Input{Body: &roomv1.Input_Leave_{Leave: &roomv1.Input_Leave{}}}) {
		t.Error("who leaves may, and nobody else")
	}
}

func TestTheNewestStepsAreRepeatedWithTheNewestValues(t *testing.T) {
	members := NewMembers()
	ann, ben, cyd := members.Enter(nil), members.Enter(nil), members.Enter(nil)
	ann.Entity, ben.Entity, cyd.Entity = 1, 2, 3 // cyd stands still
	var q Queue
	for _, step := range []dialect.Move{moveTo(1, "old"), moveTo(2, "new"), moveTo(3, "")} {
		ann.Stepped(step)
		q.Step(Step{ann.Link, step})
		step.Values = append(step.Values[:0], "???"...) // whose memory is the caller's
	}
	ben.Stepped(moveTo(4, ""))
	q.Reopen(members.Steps())
	var batch roomv1.AttachRequest_Inputs
	q.Take(&batch, 1)
	want := []string{"1 at 3,1,2 facing 3 does 4 with new", "2 at 4,1,2 facing 3 does 4"}
	if got := said(batch.GetSteps()); !slices.Equal(got, want) {
		t.Errorf("repeated: %q", got)
	}
}
