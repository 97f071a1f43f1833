package gateway

import (
	"log/slog"
	"sync"
	"time"
)

// outage says once that one of some streams is lost, and once that there are all again.
type outage struct {
	what string
	log  *slog.Logger

	mu    sync.Mutex
	out   map[uint32]struct{} // by their numbers
	began time.Time           // when the first of those was lost
}

func newOutage(what string, log *slog.Logger) *outage {
	return &outage{what: what, log: log, out: map[uint32]struct{}{}}
}

func (o *outage) lost(number uint32, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.out) == 0 {
		o.began = time.Now()
		o.log.Warn(o.what+" is not there", "error", errText(err))
	}
	o.out[number] = struct{}{}
}

// back takes note of a stream that lives, since then: it may be known only later that it lives for long.
func (o *outage) back(number uint32, since time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.out) == 0 {
		return
	}
	if delete(o.out, number); len(o.out) == 0 {
		o.log.Info(o.what+" is back", "lost_ms", max(0, since.Sub(o.began)).Milliseconds())
	}
}
