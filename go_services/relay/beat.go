package relay

import "time"

// graceOf is how long a tick waits for gateways by which members walk: what comes a little late would else wait for the
// next tick. Gateways aim at the tick itself, so that relays need not wake twice.
func graceOf(interval time.Duration) time.Duration { return min(10*time.Millisecond, interval/5) }

// dueOf is when a room ticks next in which something waits; `ran` is when it ticked last. There is one tick an interval at
// most: if there was none since the last was due, for nothing had come, what comes now need not wait, unless the next is at
// hand, at which gateways aim.
func dueOf(now, ran time.Time, phase, interval time.Duration) time.Time {
	due := now.Add(-phase).Truncate(interval).Add(phase)
	next := due.Add(interval)
	if !ran.Before(due) || next.Sub(now) <= graceOf(interval) {
		return next
	}
	return due
}

// walks is when members walk by one gateway.
type walks struct {
	last   time.Time
	steady bool // and they did in the interval before that, too
}

// note takes note that some do.
func (w *walks) note(now time.Time, interval time.Duration) {
	if gap := now.Sub(w.last); gap > interval/2 {
		w.steady = gap < 3*interval/2
	}
	w.last = now
}

// expected says whether there should be more before a tick: there was in time for the one before. Who is always too late is
// not waited for.
func (w *walks) expected(due time.Time, interval time.Duration) bool {
	age := due.Sub(w.last)
	return w.steady && interval-graceOf(interval) <= age && age < 3*interval/2
}
