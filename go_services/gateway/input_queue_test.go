package gateway

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
	"github.com/worldmesh/worldmesh/go_services/gateway/roomlink"
	"github.com/worldmesh/worldmesh/go_services/gateway/socket"
)

// A relay that takes nothing has its room's steps wait, and then those be dropped that have a newer one.
func TestStepsThatAreDroppedAreCounted(t *testing.T) {
	registry := prometheus.NewRegistry()
	q := newInputQueue(newPace(time.Hour, time.Hour), newMetrics(registry, socket.NewTurns(1)))
	who := roomlink.NewMembers().Enter(nil)
	for range roomlink.MaxWaitingSteps + 1 {
		q.step(who, dialect.Move{})
	}
	if n := counterOf(t, registry, "worldmesh_gateway_steps_dropped_total"); n != roomlink.MaxWaitingSteps-1 {
		t.Errorf("%v were dropped", n)
	}
	q.close()
	q.step(who, dialect.Move{})
	if q.take(&roomv1.AttachRequest_Inputs{}) {
		t.Error("a queue that is closed takes steps")
	}
}

// What a client has said is its socket's memory, which the next message is read into.
func TestAStepThatIsAskedForKeepsItsValues(t *testing.T) {
	values := []byte("mine")
	in := roomlink.StepInput(roomlink.Step{Link: 1, Move: dialect.Move{Values: values}}, 2, 3)
	copy(values, "????")
	if got := string(in.GetState().GetValues()); got != "mine" {
		t.Errorf("they are %q", got)
	}
}

func TestWhatWasTakenWakesNobodyMore(t *testing.T) {
	q := newInputQueue(newPace(time.Hour, time.Hour), newMetrics(prometheus.NewRegistry(), socket.NewTurns(1)))
	who, batch := roomlink.NewMembers().Enter(nil), &roomv1.AttachRequest_Inputs{}
	timer := time.NewTimer(time.Hour)
	q.put(&roomv1.Input{Body: &roomv1.Input_Chat_{}})
	if !q.await(t.Context(), timer) || !q.take(batch) {
		t.Fatal("what is said waits")
	}
	q.step(who, dialect.Move{}) // while that is sent
	for q.take(batch) {         // it goes along
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	time.AfterFunc(50*time.Millisecond, func() { q.step(who, dialect.Move{}) })
	if q.await(ctx, timer) {
		t.Error("the next step does not wait for company")
	}
}

// A step costs a gateway no memory that it has not had before.
func TestAStepAllocatesNothing(t *testing.T) {
	q := newInputQueue(newPace(time.Hour, time.Hour), newMetrics(prometheus.NewRegistry(), socket.NewTurns(1)))
	who, batch := roomlink.NewMembers().Enter(nil), &roomv1.AttachRequest_Inputs{}
	move := dialect.Move{Values: []byte("values")}
	step := func() {
		q.step(who, move)
		q.take(batch)
	}
	step()
	if n := testing.AllocsPerRun(100, step); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func counterOf(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("there is no %s", name)
	return 0
}
