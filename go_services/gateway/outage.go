package gateway

import (
	"log/slog"
	"sync"
	"time"
)

// outage says once that one of some streams is lost, and once that there are all again: a relay that dies has thousands.
type outage struct {
	what string
	log  *slog.Logger

	mu    sync.Mutex
	out   map[string]struct{} // by their names
	all   map[string]struct{} // who was lost since the first of those was
	began time.Time           // when it was
}

func newOutage(what string, log *slog.Logger) *outage {
	return &outage{what: what, log: log, out: map[string]struct{}{}, all: map[string]struct{}{}}
}

func (o *outage) lost(name string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.out) == 0 {
		o.began = time.Now()
		o.log.Warn(o.what+" is not there", "which", name, "error", errText(err))
	}
	o.out[name] = struct{}{}
	o.all[name] = struct{}{}
}

// back takes note of a stream that lives, since then: it may be known only later that it lives for long.
func (o *outage) back(name string, since time.Time) { o.found(name, since, " is back") }

// forget takes out a stream that nobody wants any more.
func (o *outage) forget(name string) { o.found(name, time.Now(), " is not wanted any more") }

func (o *outage) found(name string, since time.Time, how string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.out) == 0 {
		return
	}
	if delete(o.out, name); len(o.out) == 0 {
		o.log.Info(o.what+how, "which", name, "streams", len(o.all), "lost_ms", max(0, since.Sub(o.began)).Milliseconds())
		clear(o.all)
	}
}
