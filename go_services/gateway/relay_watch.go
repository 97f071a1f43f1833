package gateway

import (
	"context"
	"log/slog"
	"sync"
	"time"

	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"google.golang.org/grpc/metadata"
)

const (
	// askRelayEvery is how often a relay that rooms are at is asked whether it lives, whether it has answered before or not.
	askRelayEvery = 300 * time.Millisecond
	// askRelayPatience is for how long it may answer none before its streams are given up: long enough for a way there
	// and back that takes a second.
	askRelayPatience = 1200 * time.Millisecond
	// asksLate is by how much a question may be late before this gateway itself has stood still.
	asksLate = 300 * time.Millisecond
	// askRelayMost is how many questions are under way at most.
	askRelayMost = int(askRelayPatience/askRelayEvery) + 1
)

// stuckError ends the stream to a relay that does not answer.
type stuckError struct{ elsewhere string }

func (stuckError) Error() string { return "the relay does not answer" }

// relayWatch asks the relays that this gateway's rooms are at whether they live. One that has died ends its streams;
// one that is stuck does not, and neither does a proxy for it.
type relayWatch struct {
	relays roomv1.RoomServiceClient
	log    *slog.Logger
	ctx    context.Context //nolint:containedctx // the gateway's: a relay is watched for all rooms at it
	// running is what the gateway waits for when it ends.
	running *sync.WaitGroup

	mu      sync.Mutex
	watched map[relayStart]*watchedRelay
}

// relayStart is one start of the relay at an address. The streams to an earlier one are watched until they are over.
type relayStart struct{ address, incarnation string }

type watchedRelay struct {
	opened  *roomv1.AttachResponse_Opened
	stop    context.CancelFunc
	lastID  int
	streams map[int]context.CancelCauseFunc
	other   string // where it said that another is; the watching goroutine's
}

func newRelayWatch(
	ctx context.Context, running *sync.WaitGroup, relays roomv1.RoomServiceClient, log *slog.Logger,
) *relayWatch {
	return &relayWatch{relays: relays, log: log, ctx: ctx, running: running, watched: map[relayStart]*watchedRelay{}}
}

// add has a stream ended when its relay does not answer any more, until it is taken out.
func (w *relayWatch) add(
	roomID string, opened *roomv1.AttachResponse_Opened, cancel context.CancelCauseFunc,
) (remove func()) {
	address := opened.GetRelayAddress()
	if address == "" {
		return func() {}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	start := relayStart{address, opened.GetIncarnation()}
	r := w.watched[start]
	if r == nil {
		ctx, stop := context.WithCancel(w.ctx)
		r = &watchedRelay{opened: opened, stop: stop, streams: map[int]context.CancelCauseFunc{}}
		w.watched[start] = r
		ctx = metadata.AppendToOutgoingContext(ctx, kit.HeaderRoomID, roomID, kit.HeaderHost, address)
		w.running.Go(func() { w.watch(ctx, r) })
	}
	r.lastID++
	id := r.lastID
	r.streams[id] = cancel
	return func() { w.remove(start, id) }
}

func (w *relayWatch) remove(start relayStart, id int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.watched[start]
	if delete(r.streams, id); len(r.streams) == 0 {
		r.stop()
		delete(w.watched, start)
	}
}

// watch asks until nobody needs to know any more.
func (w *relayWatch) watch(ctx context.Context, r *watchedRelay) {
	ticker := time.NewTicker(askRelayEvery)
	defer ticker.Stop()
	var asking sync.WaitGroup
	defer asking.Wait()
	answers := make(chan *roomv1.GetRelayResponse, askRelayMost) // nil: none in time
	quiet, open := silence{answered: time.Now(), asked: time.Now()}, 0
	ask := func() {
		if open < askRelayMost {
			open++
			asking.Go(func() { answers <- w.ask(ctx, r) })
		}
	}
	for ask(); ; {
		select {
		case <-ctx.Done():
			return
		case answer := <-answers:
			if open--; answer != nil {
				quiet.answered, r.other = time.Now(), answer.GetOtherAddress()
			}
		case <-ticker.C:
			if now := time.Now(); quiet.tooLong(now) {
				w.giveUp(r)
				quiet.answered = now
			}
			ask()
		}
	}
}

// silence is since when a relay has not answered, and when it was last asked.
type silence struct{ answered, asked time.Time }

// tooLong says, when the relay is asked again, whether it counts as dead. For as long as this gateway stood still itself it could
// not have heard of an answer: else a gateway that is stopped for two seconds would leave all relays at once.
func (s *silence) tooLong(now time.Time) bool {
	if late := now.Sub(s.asked) - askRelayEvery; late > asksLate {
		if s.answered = s.answered.Add(late); s.answered.After(now) { // it has answered since
			s.answered = now
		}
	}
	s.asked = now
	return now.Sub(s.answered) >= askRelayPatience
}

// ask asks a relay once; nil if it does not answer in time, or is not the one that was there.
func (w *relayWatch) ask(ctx context.Context, r *watchedRelay) *roomv1.GetRelayResponse {
	ctx, cancel := context.WithTimeout(ctx, askRelayPatience)
	defer cancel()
	response, err := w.relays.GetRelay(ctx, &roomv1.GetRelayRequest{})
	if err != nil || response.GetIncarnation() != r.opened.GetIncarnation() {
		return nil
	}
	return response
}

// giveUp ends the streams to a relay: their rooms are looked for elsewhere.
func (w *relayWatch) giveUp(r *watchedRelay) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log.Warn("a relay does not answer", "relay", r.opened.GetRelayId(), "streams", len(r.streams))
	for _, cancel := range r.streams {
		cancel(stuckError{r.other})
	}
}
