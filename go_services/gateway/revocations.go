package gateway

import (
	"context"
	"log/slog"
	"sync"
	"time"

	identityv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/identity/v1"
)

// revokedFor is how long a revoked session is remembered: longer than an access token lives.
const revokedFor = 6 * time.Minute

// forgetEvery is how often those that are remembered long enough are forgotten. All at once and seldom: a stream that
// begins anew tells of thousands in a moment, and looking at all of them for each would hold up every hello.
const forgetEvery = time.Minute

// healthy is how long a stream must have lived for its end to be no reason to hold back.
const healthy = 5 * time.Second

// allRevocations names the only stream that there is.
const allRevocations = "all"

// revocations follows identity's stream of revoked sessions.
type revocations struct {
	identity identityv1.IdentityServiceClient
	onRevoke func(userID, sessionID string)
	outage   *outage[string]

	mu     sync.Mutex
	until  map[string]time.Time
	forgot time.Time // when the map was last looked through
}

func newRevocations(identity identityv1.IdentityServiceClient, log *slog.Logger) *revocations {
	return &revocations{
		identity: identity, outage: newOutage[string]("stream of revocations", log),
		until: map[string]time.Time{}, onRevoke: func(string, string) {},
	}
}

func (r *revocations) has(sessionID string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Now().Before(r.until[sessionID])
}

// run follows the stream until ctx ends; when it breaks it is opened again, and starts with what was missed.
func (r *revocations) run(ctx context.Context) {
	// Short, for a revocation is to be heard of within a second even if the stream has just broken.
	wait := backoff{least: 50 * time.Millisecond, most: 800 * time.Millisecond}
	for ctx.Err() == nil {
		start := time.Now()
		err := r.follow(ctx)
		if time.Since(start) > healthy {
			wait.reset()
		}
		if ctx.Err() == nil {
			r.outage.lost(allRevocations, err)
			wait.sleep(ctx)
		}
	}
}

func (r *revocations) follow(ctx context.Context) error {
	stream, err := r.identity.WatchRevocations(ctx, &identityv1.WatchRevocationsRequest{})
	if err != nil {
		return err
	}
	opened := time.Now()
	steady := time.AfterFunc(healthy, func() { r.outage.back(allRevocations, opened) })
	defer steady.Stop()
	for {
		revoked, err := stream.Recv()
		if err != nil {
			return err
		}
		r.remember(revoked.GetSessionId())
		r.onRevoke(revoked.GetUserId(), revoked.GetSessionId())
	}
}

func (r *revocations) remember(sessionID string) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.until[sessionID] = now.Add(revokedFor)
	if now.Sub(r.forgot) < forgetEvery {
		return
	}
	r.forgot = now
	for id, until := range r.until {
		if now.After(until) {
			delete(r.until, id)
		}
	}
}

func errText(err error) string {
	if err == nil {
		return "end of stream"
	}
	return err.Error()
}
