package gateway

import (
	"log/slog"
	"sync"
)

// outage says once that one of some streams is lost, and once that there are all again.
type outage struct {
	what string
	log  *slog.Logger

	mu  sync.Mutex
	out map[uint32]struct{} // by their numbers
}

func newOutage(what string, log *slog.Logger) *outage {
	return &outage{what: what, log: log, out: map[uint32]struct{}{}}
}

func (o *outage) lost(number uint32, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.out) == 0 {
		o.log.Warn(o.what+" ended", "error", errText(err))
	}
	o.out[number] = struct{}{}
}

func (o *outage) back(number uint32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.out) == 0 {
		return
	}
	if delete(o.out, number); len(o.out) == 0 {
		o.log.Info(o.what + " is back")
	}
}
