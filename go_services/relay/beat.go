package relay

import "time"

// graceOf is how long a tick waits for gateways by which members walk: what comes a little late would else wait for the
// next tick. Gateways aim at the tick itself, so that relays need not wake twice.
func graceOf(interval time.Duration) time.Duration { return min(10*time.Millisecond, interval/5) }

// dueOf is when a room ticks next in which something waits. What comes shortly after a tick that there was not, for nothing
// had come, is not late for it.
func dueOf(now, ticked time.Time, phase, interval time.Duration) time.Time {
	due := now.Add(-phase).Truncate(interval).Add(phase)
	if now.Sub(due) > graceOf(interval) || !ticked.Before(due) {
		return due.Add(interval)
	}
	return due
}

// walks is when members walk by one gateway.
type walks struct {
	last   time.Time
	steady bool // and they did shortly before that, too
}

// note takes note that some do.
func (w *walks) note(now time.Time, interval time.Duration) {
	if now != w.last {
		w.steady, w.last = now.Sub(w.last) < 3*interval/2, now
	}
}

// expected says whether there should be more before a tick. What comes within half an interval after a tick was meant for
// that one.
func (w *walks) expected(due time.Time, interval time.Duration) bool {
	age := due.Sub(w.last)
	return w.steady && interval/2 < age && age < 3*interval/2
}
