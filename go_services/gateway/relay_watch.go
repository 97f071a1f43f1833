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

	mu      sync.Mutex
	watched map[string]*watchedRelay // by address
}

type watchedRelay struct {
	opened  *roomv1.AttachResponse_Opened
	stop    context.CancelFunc
	lastID  int
	streams map[int]context.CancelCauseFunc
	other   string // where it said that another is; the watching goroutine's
}

func newRelayWatch(ctx context.Context, relays roomv1.RoomServiceClient, log *slog.Logger) *relayWatch {
	return &relayWatch{relays: relays, log: log, ctx: ctx, watched: map[string]*watchedRelay{}}
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
	r := w.watched[address]
	if r == nil || r.opened.GetIncarnation() != opened.GetIncarnation() {
		if r != nil {
			r.stop()
		}
		ctx, stop := context.WithCancel(w.ctx)
		r = &watchedRelay{opened: opened, stop: stop, streams: map[int]context.CancelCauseFunc{}}
		w.watched[address] = r
		go w.watch(metadata.AppendToOutgoingContext(ctx, kit.HeaderRoomID, roomID, kit.HeaderHost, address), r)
	}
	r.lastID++
	id := r.lastID
	r.streams[id] = cancel
	return func() { w.remove(r, id) }
}

func (w *relayWatch) remove(r *watchedRelay, id int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(r.streams, id)
	if len(r.streams) > 0 {
		return
	}
	r.stop()
	if address := r.opened.GetRelayAddress(); w.watched[address] == r {
		delete(w.watched, address)
	}
}

// watch asks until nobody needs to know any more.
func (w *relayWatch) watch(ctx context.Context, r *watchedRelay) {
	ticker := time.NewTicker(askRelayEvery)
	defer ticker.Stop()
	var asking sync.WaitGroup
	defer asking.Wait()
	answers := make(chan *roomv1.GetRelayResponse, askRelayMost) // nil: none in time
	answered, open := time.Now(), 0
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
				answered, r.other = time.Now(), answer.GetOtherAddress()
			}
		case <-ticker.C:
			if time.Since(answered) >= askRelayPatience {
				w.giveUp(r)
				answered = time.Now()
			}
			ask()
		}
	}
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
