package gateway

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/worldmesh/worldmesh/clients/go/statebatch"
	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

// left says that somebody has left.
func (s *fakeStream) left(user string) *roomv1.Delivery {
	at := frames.LogPosition{Epoch: 1, Seq: s.relay.seq.Add(1)}
	return &roomv1.Delivery{
		Channel:  roomv1.Channel_CHANNEL_ORDERED,
		Position: &roomv1.LogPosition{Epoch: at.Epoch, Seq: at.Seq},
		Frame: frames.NewEncoder().Event(frames.Event{
			LogPosition: at, Body: frames.MemberLeft{Entity: 9, UserID: user},
		}),
	}
}

func TestWhoComesAndGoesIsToldBeforeWhatFollows(t *testing.T) {
	l := newLab(t, nil)
	ann := l.enter("usr_ann", "plaza")
	stream := <-l.relay.streams
	stream.deliver(stream.left("usr_x"), stream.left("usr_y"), stateOf(1, 1, 3.5), stream.left("usr_z"), stream.chat("so quiet"))
	ann.hears("usr_x")
	ann.hears("usr_y")
	ann.hears("state_batch")
	ann.hears("usr_z")
	ann.hears("so quiet")
	stream.deliver(stream.left("usr_v")) // nothing follows
	ann.hears("usr_v")
}

func TestWhoEntersDoesNotHearWhatItsSnapshotTells(t *testing.T) {
	l := newLab(t, nil)
	ann := l.enter("usr_ann", "plaza")
	stream := <-l.relay.streams
	bob := l.enter("usr_bob", "")
	stream.deliver(stream.left("usr_x"))
	bob.say(`{"rid":2,"join":{"room_id":"plaza"}}`)
	bob.hears("snapshot")
	stream.deliver(stream.left("usr_y"), stream.chat("hello"))
	for _, heard := range []string{"usr_x", "usr_y", "hello"} {
		ann.hears(heard)
	}
	bob.hears("usr_y")
	bob.hears("hello")
}

func TestAWhisperHasItsPlaceAmongWhoComesAndGoes(t *testing.T) {
	l := newLab(t, nil)
	ann := l.enter("usr_ann", "plaza")
	stream := <-l.relay.streams
	before, whisper, after := stream.left("usr_x"), stream.chat("psst"), stream.left("usr_y")
	whisper.Links = []uint32{1}
	stream.deliver(before, whisper, after)
	for _, heard := range []string{"usr_x", "psst", "usr_y"} {
		ann.hears(heard)
	}
}

func TestStateForSomeTellsNothingOfThoseOfWhomTheyHaveNotHeard(t *testing.T) {
	l := newLab(t, nil)
	ann := l.enter("usr_ann", "plaza")
	stream := <-l.relay.streams
	seen := stateOf(1, 9, 3.5)
	seen.Links = []uint32{1}
	stream.deliver(stream.left("usr_x"), seen)
	ann.hears("usr_x")
	ann.hears("state_batch")
}

func TestNewsWaitsForATickAndInACrowdForMore(t *testing.T) {
	const tick = 50 * time.Millisecond
	now := time.Now()
	for _, c := range []struct{ since, want time.Duration }{
		{time.Hour, tick}, {newsPause - tick, tick}, {100 * time.Millisecond, newsPause - 100*time.Millisecond}, {0, newsPause},
		{-200 * time.Millisecond, newsPause},
	} {
		if wait := newsWait(now, now.Add(-c.since), tick); wait != c.want {
			t.Errorf("%v after the last, news waits for %v, not %v", c.since, wait, c.want)
		}
	}
}

// TestABrokenStateBatchReachesNobody, and one of a later version those who may know it.
func TestABrokenStateBatchReachesNobody(t *testing.T) {
	l := newLab(t, nil)
	ann := l.enter("usr_ann", "plaza")
	stream := <-l.relay.streams
	broken, newer := stateOf(1, 1, 1), stateOf(2, 1, 2)
	broken.Frame = broken.GetFrame()[:len(broken.GetFrame())-1]
	newer.Frame[0] |= 1 << 7
	stream.deliver(broken, newer, stateOf(3, 1, 3.5))
	if got := ann.hears("state_batch"); !strings.Contains(got, `"tick":3`) {
		t.Errorf("%s", got)
	}
	f := newFanOut(newMetrics(prometheus.NewRegistry(), nil))
	if _, _, err := f.learn(broken.GetFrame()); !errors.Is(err, statebatch.ErrBroken) {
		t.Errorf("broken: %v", err)
	}
	if kind, n, err := f.learn(newer.GetFrame()); kind != clientv1.ServerBodyNONE || n.tick || err != nil {
		t.Errorf("newer: %v, %+v, %v", kind, n, err)
	}
	if _, _, err := f.learn([]byte{0b10}); err != nil {
		t.Errorf("of another kind: %v", err)
	}
}
