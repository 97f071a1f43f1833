package roomlink

import (
	"fmt"
	"math/rand/v2"
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

// saidAlone is a step as a relay reads it.
func saidAlone(step Step) []string {
	var q Queue
	var batch roomv1.AttachRequest_Inputs
	q.Step(step)
	q.Take(&batch, 1)
	return said(batch.GetSteps())
}

func moveTo(x float32, values string) dialect.Move {
	return dialect.Move{Position: frames.Vec3{X: x, Y: 1, Z: 2}, Yaw: 3, Animation: 4, Values: []byte(values)}
}

// order is what a message says, in its order: steps by what they are, inputs by their number.
func order(batch *roomv1.AttachRequest_Inputs) []string {
	steps, before := said(batch.GetSteps()), batch.GetStepsBefore()
	var all []string
	told := 0
	for i, in := range batch.GetInputs() {
		upTo := len(steps)
		if len(before) > 0 {
			upTo = int(before[i])
		}
		all = append(all, steps[told:upTo]...)
		told = upTo
		all = append(all, fmt.Sprint(in.GetNumber()))
	}
	return append(all, steps[told:]...)
}

// sent is all that a queue has, message by message.
func sent(q *Queue) []string {
	var all []string
	var batch roomv1.AttachRequest_Inputs
	for q.Take(&batch, 9); len(batch.GetInputs()) > 0 || batch.GetSteps() != nil; q.Take(&batch, 9) {
		all = append(all, strings.Join(order(&batch), "; "))
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
			"1; 1 at 1,1,2 facing 3 does 4; 2 at 2,1,2 facing 3 does 4 with two; 2; 3; 1 at 3,1,2 facing 3 does 4; 4",
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
	if s := batch.GetSteps(); !slices.Equal(s.GetValueSizes(), []uint32{0, 3}) || len(batch.GetInputs()) != 1 || len(batch.GetStepsBefore()) > 0 {
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
	if fill(8) != fill(8) {
		t.Error("a message's lists are made anew")
	}
	if allocated := testing.AllocsPerRun(100, func() { fill(8) }); allocated > 8 { // the values that are put
		t.Errorf("%v allocations for 8 steps", allocated)
	}
	large := fill(MaxSteps)
	fill(8)
	if large == fill(8) || cap(q.waiting) > mostSpare || cap(q.values) > mostSpare*spareValues {
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
			step := Step{uint32(i), moveTo(float32(i), values(i))}
			q.Step(step)
			want = append(want, saidAlone(step)...)
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

func TestOfTooManyStepsTheNewestOfEachAndTheNewestValuesStay(t *testing.T) {
	var q Queue
	q.Step(Step{7, moveTo(1, "kept")}) // who stands still from now on
	q.Put(input(1))
	q.Step(Step{8, moveTo(1, "old")})
	q.Step(Step{8, moveTo(2, "new")})
	q.Step(Step{8, moveTo(3, "")})
	q.Put(input(2))
	dropped, most := 0, 0
	for i := range 3 * MaxWaitingSteps {
		dropped += q.Step(Step{1, moveTo(float32(i), "values")})
		most = max(most, q.Len())
	}
	if most > MaxWaitingSteps+2 || dropped+q.Len() != 3*MaxWaitingSteps+6 {
		t.Errorf("%d waited, %d were dropped, %d are left", most, dropped, q.Len())
	}
	messages := strings.Join(sent(&q), "; ")
	begin := "7 at 1,1,2 facing 3 does 4 with kept; 1; 8 at 2,1,2 facing 3 does 4 with new; 8 at 3,1,2 facing 3 does 4; 2; 1 at "
	end := fmt.Sprintf("; 1 at %v,1,2 facing 3 does 4 with values", 3*MaxWaitingSteps-1)
	if !strings.HasPrefix(messages, begin) || !strings.HasSuffix(messages, end) {
		t.Errorf("sent are %.300s and so on", messages)
	}
}

func TestWhoAreMoreThanStepsMayWaitLoseNone(t *testing.T) {
	var q Queue
	for round := range 3 {
		for i := range uint32(MaxWaitingSteps + 9) {
			q.Step(Step{i, moveTo(float32(round), "")})
		}
	}
	newest := map[string]bool{}
	for _, message := range sent(&q) {
		for _, step := range strings.Split(message, "; ") {
			link, place, _ := strings.Cut(step, " at ")
			newest[link] = strings.HasPrefix(place, "2,")
		}
	}
	for link, is := range newest {
		if !is {
			t.Fatalf("%s is told to be where it was", link)
		}
	}
	if len(newest) != MaxWaitingSteps+9 {
		t.Errorf("%d are told of", len(newest))
	}
}

// TestAnyOrderIsKept puts inputs and steps at random, and takes them in messages of all sizes.
func TestAnyOrderIsKept(t *testing.T) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 1))
		var q Queue
		var batch roomv1.AttachRequest_Inputs
		var want, got []string
		for number := range uint64(400) {
			switch random.IntN(8) {
			case 0, 1:
				q.Put(input(number))
				want = append(want, fmt.Sprint(number))
			case 2:
				q.Take(&batch, 1+random.IntN(4))
				got = append(got, order(&batch)...)
			default:
				for range 1 + random.IntN(3) {
					step := Step{uint32(number), moveTo(float32(number), strings.Repeat("v", max(0, random.IntN(5)-2)))}
					q.Step(step)
					want = append(want, saidAlone(step)...)
				}
			}
			if number%100 == 99 && random.IntN(2) == 0 { // more than a message holds
				for range MaxSteps + 5 {
					q.Step(Step{1, moveTo(1, "")})
					want = append(want, "1 at 1,1,2 facing 3 does 4")
				}
			}
		}
		for q.Len() > 0 {
			q.Take(&batch, 1+random.IntN(4))
			got = append(got, order(&batch)...)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: %d are sent of %d, or in another order", seed, len(got), len(want))
		}
	}
}

func TestWhatAQueueOfInputsHolds(t *testing.T) {
	large := &roomv1.Input{Number: 1, Body: &roomv1.Input_Chat_{Chat: &roomv1.Input_Chat{Text: strings.Repeat("x", 4000)}}}
	small := &roomv1.Input{}
	leave := &roomv1.Input{Body: &roomv1.Input_Leave_{Leave: &roomv1.Input_Leave{}}}
	for name, c := range map[string]struct {
		in    *roomv1.Input
		steps int
		taken bool
		most  int
	}{
		"large ones":                      {large, 0, false, (MaxBytes + sizeOf(large) - 1) / sizeOf(large)},
		"small ones":                      {small, 0, false, MaxInputs},
		"beside steps":                    {small, MaxWaitingSteps, false, MaxInputs},
		"that were sent and not answered": {large, 0, true, (MaxBytes + sizeOf(large) - 1) / sizeOf(large)},
		"small ones that were sent":       {&roomv1.Input{Number: 1}, 0, true, MaxBytes / sizeOf(&roomv1.Input{Number: 1})},
	} {
		var q Queue
		var batch roomv1.AttachRequest_Inputs
		for range c.steps {
			q.Step(Step{1, moveTo(1, "")})
		}
		held := 0
		for ; held < 2*MaxInputs && q.Put(c.in); held++ {
			if c.taken {
				q.Take(&batch, 1)
			}
		}
		if held < c.most-1 || held > c.most+1 {
			t.Errorf("%s: %d are held, not %d", name, held, c.most)
		}
		if !q.Put(leave) {
			t.Errorf("%s: who leaves may not", name)
		}
	}
}

func TestWhatIsDoneWithTakesNoPlace(t *testing.T) {
	looks := &roomv1.Input{Body: &roomv1.Input_Look_{}}
	var q Queue
	var batch roomv1.AttachRequest_Inputs
	for number := range uint64(MaxInputs/2 + 100) { // two each time
		if !q.Put(looks) || !q.Put(input(number+1)) {
			t.Fatalf("after %d there is no place", number)
		}
		q.Take(&batch, 2)
		q.Answered(number + 1)
	}
	if q.bytes != 0 || q.Len() != 0 {
		t.Errorf("%d bytes are left in %d", q.bytes, q.Len())
	}
}

// A crowd that always walks is no burst.
func TestStepsOfACrowdTakeNoMemoryAnew(t *testing.T) {
	for _, steps := range []int{1, 800, 1000, 2000, MaxSteps} {
		var q Queue
		var batch roomv1.AttachRequest_Inputs
		move := moveTo(1, strings.Repeat("v", 44))
		tick := func() {
			for i := range steps {
				q.Step(Step{uint32(i), move})
			}
			q.Take(&batch, 1)
		}
		tick()
		tick()
		if n := testing.AllocsPerRun(20, tick); n > 0 {
			t.Errorf("%d steps: %v allocations", steps, n)
		}
	}
}

func TestACrowdThatHasGoneLeavesNoGreaterBound(t *testing.T) {
	var q Queue
	var batch roomv1.AttachRequest_Inputs
	for i := range uint32(3 * MaxWaitingSteps) {
		q.Step(Step{i, moveTo(1, "")})
	}
	for q.Len() > 0 {
		q.Take(&batch, 1)
	}
	for range 3 * MaxWaitingSteps {
		q.Step(Step{1, moveTo(1, "")})
	}
	if q.Len() > MaxWaitingSteps+1 {
		t.Errorf("%d of one member wait", q.Len())
	}
}

func TestAStepThatIsToBeAnsweredIsRepeatedAsTheNewest(t *testing.T) {
	var q Queue
	var batch roomv1.AttachRequest_Inputs
	ask := func(number uint64, x float32) { q.Put(StepInput(Step{1, moveTo(x, "")}, uint32(number)+100, number)) }
	ask(1, 1)
	ask(2, 2)
	q.Take(&batch, 2)
	ask(3, 3)
	q.Reopen([]Step{{1, moveTo(4, "newest")}, {2, moveTo(9, "")}})
	q.Take(&batch, 9)
	for i, in := range batch.GetInputs() {
		number := uint64(i + 1)
		state := in.GetState()
		if in.GetNumber() != number || in.GetRid() != uint32(number)+100 || state.GetPosition().GetX() != 4 || string(state.GetValues()) != "newest" {
			t.Errorf("repeated as %v", in)
		}
	}
	if n := len(batch.GetInputs()); n != 3 {
		t.Errorf("%d are repeated", n)
	}
}

func TestAStepOfAMemberWhoHasGoneIsRepeatedAsItsNewestUntilThatIsAnswered(t *testing.T) {
	members := NewMembers()
	ann := members.Enter(nil)
	var q Queue
	var batch roomv1.AttachRequest_Inputs
	asked := Step{ann.Link, moveTo(1, "")}
	q.Put(StepInput(asked, 101, 1))
	for _, step := range []dialect.Move{asked.Move, moveTo(2, "")} {
		ann.Stepped(step)
	}
	q.Step(Step{ann.Link, moveTo(2, "")})
	q.Exit(ann, &roomv1.Input{
		Link: ann.Link, Number: 2, Body: &roomv1.Input_Detach_{Detach: &roomv1.Input_Detach{}},
	})
	members.Leave(ann.Link)
	for range 2 {
		q.Take(&batch, 9)
		q.Reopen(members.Steps())
	}
	q.Take(&batch, 9)
	if got := batch.GetInputs(); len(got) != 2 || got[0].GetState().GetPosition().GetX() != 2 || got[1].GetDetach() == nil {
		t.Errorf("repeated: %v", got)
	}
	q.Answered(2)
	if len(q.gone) != 0 {
		t.Errorf("kept: %v", q.gone)
	}
}

func TestTheNewestStepsAreRepeatedWithTheNewestValues(t *testing.T) {
	members := NewMembers()
	ann, ben, cyd := members.Enter(nil), members.Enter(nil), members.Enter(nil)
	more := []*Member{members.Enter(nil), members.Enter(nil), members.Enter(nil)}
	ann.Entity, cyd.Entity = 1, 3 // ben is on his way in, cyd stands still
	var q Queue
	for _, step := range []dialect.Move{moveTo(1, "old"), moveTo(2, "new"), moveTo(3, "")} {
		ann.Stepped(step)
		q.Step(Step{ann.Link, step})
		step.Values = append(step.Values[:0], "???"...) // whose memory is the caller's
	}
	ben.Stepped(moveTo(4, ""))
	for _, m := range more {
		m.Stepped(moveTo(5, ""))
	}
	q.Put(input(9)) // ben's join
	q.Reopen(members.Steps())
	want := []string{"9; 1 at 3,1,2 facing 3 does 4 with new; 2 at 4,1,2 facing 3 does 4; 4 at 5,1,2 facing 3 does 4; 5 at 5,1,2 facing 3 does 4; 6 at 5,1,2 facing 3 does 4"}
	if got := sent(&q); !slices.Equal(got, want) {
		t.Errorf("repeated: %q", got)
	}
}

func TestTheJoinOfWhoIsPutOutIsNotRepeated(t *testing.T) {
	var q Queue
	var batch roomv1.AttachRequest_Inputs
	for number, in := range []*roomv1.Input{
		{Link: 1, Body: &roomv1.Input_Join_{Join: &roomv1.Input_Join{}}},
		{Link: 1, Body: &roomv1.Input_Chat_{Chat: &roomv1.Input_Chat{Text: "hi"}}},
		{Link: 2, Body: &roomv1.Input_Join_{Join: &roomv1.Input_Join{}}},
	} {
		in.Number = uint64(number + 1)
		q.Put(in)
	}
	q.Take(&batch, 9)
	q.PutOut(1)
	q.Reopen(nil)
	if got := q.String(); got != "waiting [2 3], unanswered [], steps of []" {
		t.Error(got)
	}
	for number := range uint64(3) {
		q.Take(&batch, 9)
		q.Answered(number + 1)
	}
	if q.bytes != 0 {
		t.Errorf("%d bytes are left of nothing", q.bytes)
	}
}
