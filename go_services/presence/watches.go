package presence

import (
	"sync"
	"time"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"google.golang.org/grpc/codes"
)

// watchRetry is what a user with too many watches is told to wait: somebody has to end one first.
const watchRetry = 5 * time.Second

var errTooManyWatches = kit.NewError(codes.ResourceExhausted, commonv1.ErrorReason_ERROR_REASON_RATE_LIMITED,
	"the user has as many watches open as it may: end one first").After(watchRetry)

// watches bounds the watches of each user that are open on this instance, for each holds streams to all shards of its
// users. Services that watch for themselves are not bounded.
type watches struct {
	most int

	mu   sync.Mutex
	open map[string]int
}

func newWatches(most int) *watches { return &watches{most: most, open: map[string]int{}} }

// begin takes a place for one more watch of a user; end gives it back.
func (w *watches) begin(userID string) (end func(), err error) {
	if userID == "" {
		return func() {}, nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open[userID] >= w.most {
		return nil, errTooManyWatches
	}
	w.open[userID]++
	return func() { w.ended(userID) }, nil
}

func (w *watches) ended(userID string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open[userID]--
	if w.open[userID] == 0 {
		delete(w.open, userID)
	}
}
