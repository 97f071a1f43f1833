package gateway

import (
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// outagePause is for how long one line stands for all streams that are lost.
const outagePause = 5 * time.Second

// outage says that some of many streams are lost or given up, and when there are all again. A relay that dies has thousands: one
// line stands for all to which that happens within a few seconds, and another is said if it happens to more later.
type outage[K comparable] struct {
	what string
	log  *slog.Logger

	mu    sync.Mutex
	out   map[K]struct{}
	began time.Time // when the first of those was lost
	// losses is how often one was lost since then, and given how many are not tried any more.
	losses, given int
	said          map[string]time.Time
}

func newOutage[K comparable](what string, log *slog.Logger) *outage[K] {
	return &outage[K]{what: what, log: log, out: map[K]struct{}{}, said: map[string]time.Time{}}
}

func (o *outage[K]) lost(stream K, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.out) == 0 {
		o.began = time.Now()
	}
	_, still := o.out[stream]
	o.out[stream] = struct{}{}
	if !still {
		o.losses++
		o.warnLocked(" is not there", stream, err)
	}
}

// givenUp takes note that one is not tried any more. It is to be forgotten then.
func (o *outage[K]) givenUp(stream K, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.given++
	o.warnLocked(" is given up", stream, err)
}

func (o *outage[K]) warnLocked(how string, stream K, err error) {
	if now := time.Now(); now.Sub(o.said[how]) >= outagePause {
		o.said[how] = now
		o.log.Warn(o.what+how, "which", fmt.Sprint(stream), "error", errText(err))
	}
}

// back takes note of a stream that lives, since then: it may be known only later that it lives for long.
func (o *outage[K]) back(stream K, since time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, out := o.out[stream]; !out {
		return
	}
	if delete(o.out, stream); len(o.out) == 0 { // there are all that are wanted
		o.log.Info(o.what+" is back", "losses", o.losses, "given_up", o.given, "lost_ms", max(0, since.Sub(o.began)).Milliseconds())
		o.losses, o.given = 0, 0
		clear(o.said)
	}
}

// forget takes out a stream that is not wanted any more.
func (o *outage[K]) forget(stream K) { o.back(stream, time.Now()) }
